#!/usr/bin/env bash
# in-a-copy.sh COMMAND...: runs a command, as root, on a copy of this machine's files. What it
# writes is in memory, and is gone when it ends.
set -euo pipefail

if [[ ${IN_A_COPY:-} != 1 ]]; then
    IN_A_COPY=1 exec unshare --mount --propagation private bash "$0" "$@"
fi
copy=/mnt
mount -t tmpfs tmpfs $copy
mkdir $copy/{new,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$copy/new,workdir=$copy/work" $copy/root
mount --rbind /dev $copy/root/dev
mount --rbind /proc $copy/root/proc
mount -t tmpfs tmpfs $copy/root/run
exec chroot $copy/root "$@"
