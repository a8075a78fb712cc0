#!/usr/bin/env bash
# installed.sh ROOT PACKAGE...: installs the packages with dpkg, builds and runs programs with
# them, removes and purges them, and looks at what is left. It changes the machine: run it by
# in-a-copy.sh.
set -euo pipefail
root=$1
shift
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
unset LD_LIBRARY_PATH PKG_CONFIG_PATH CMAKE_PREFIX_PATH KEYSTILE_STORE KEYSTILE_ACTOR
fail() { echo "error: $*" >&2; exit 1; }
says() { grep -qF "$1" <<<"$2" || fail "expected \`$1\`, got \`$2\`"; }
# man-db keeps what it has formatted, as it does of every page.
left() { find /usr /etc /var -xdev -path /var/cache/man -prune -o -iname '*keystile*' -print | sort; }

before=$(left)
[[ -z $(getent passwd keystile) ]] || fail "this machine has a user keystile"
work=$(mktemp -d)
cd "$work"

echo "== a library without ldconfig is not found, as the installation says"
mkdir "$work/local"
dpkg-deb --extract "$(printf '%s\n' "$@" | grep /libkeystile0)" "$work/local"
dpkg-deb --extract "$(printf '%s\n' "$@" | grep /libkeystile-dev)" "$work/local"
cp -a "$work/local"/usr/lib/*/libkeystile.so* /usr/local/lib/
cp "$root/include/keystile.h" /usr/local/include/
gcc "$root/bindings/c/examples/issue.c" -lkeystile -o early
./early >/dev/null 2>&1 && fail "the program ran before ldconfig"
ldconfig
./early >/dev/null || fail "the program did not run after ldconfig"
rm /usr/local/lib/libkeystile.so* /usr/local/include/keystile.h
ldconfig

echo "== install"
dpkg --install "$@"
dpkg --verify keystile libkeystile0.1 libkeystile-dev | grep . && fail "files differ from their sums"
[[ $(stat -c '%a %U' /etc/keystile.env) == "600 root" ]] || fail "/etc/keystile.env can be read"
[[ $(getent passwd keystile | cut -d: -f6,7) == /var/lib/keystile:/usr/sbin/nologin ]] ||
    fail "the user is $(getent passwd keystile)"
keystile --version
man --path >/dev/null 2>&1 && man -w keystile keystile-serve
bash -n /usr/share/bash-completion/completions/keystile

echo "== the unit"
unit=/usr/lib/systemd/system/keystile.service
link=/etc/systemd/system/multi-user.target.wants/keystile.service
systemd-analyze verify $unit
[[ ! -L $link ]] || fail "the service is enabled"
for line in After=.*postgresql.service StartLimitIntervalSec=0 RestartSec=2s LimitCORE=0; do
    grep -qx "$line" $unit || fail "the unit lacks $line"
done
systemctl --root=/ enable keystile.service 2>/dev/null
[[ -L $link ]] || fail "the service is not enabled"
systemd-analyze security --offline=yes --threshold=20 keystile.service | tail -1

echo "== programs"
for name in issue verify; do
    gcc "$root/bindings/c/examples/$name.c" $(pkg-config --cflags --libs keystile) -o $name
done
says ok "$(./issue | ./verify)"
loaded=$(ldd issue)
grep -qE 'libkeystile.so.0.1 => (/usr)?/lib/' <<<"$loaded" || fail "$loaded"
gcc "$root/bindings/c/examples/issue.c" $(pkg-config --cflags keystile) \
    -L"$(pkg-config --variable=libdir keystile)" -l:libkeystile.a -lpthread -lm -ldl -o whole
ldd whole | grep keystile && fail "the archive was not linked"
says acme_ "$(./whole)"
cmake -S "$root/bindings/c/tests/outside" -B cmake >/dev/null
cmake --build cmake >/dev/null
says "issued a key" "$(cmake/shared)"

echo "== the program, as the service runs it"
install -d -m 0700 -o keystile -g keystile /var/lib/keystile
as_service() { (set -a; . /etc/keystile.env; umask 077; exec runuser -u keystile -- "$@"); }
sed -i "s/^#KEYSTILE_PEPPER.*/KEYSTILE_PEPPER='1:$(printf '%064d' 7)'/" /etc/keystile.env
key=$(as_service keystile issue --client Acme 2>/dev/null)
says allow "$(as_service keystile verify <<<"$key" 2>&1)"
[[ $(stat -c '%a %U' /var/lib/keystile/keystile.db) == "600 keystile" ]] || fail "the store is not private"
port=8099
(set -a; . /etc/keystile.env; umask 077; KEYSTILE_SERVE_OPTIONS="--listen 127.0.0.1:$port"
 exec setpriv --reuid keystile --regid keystile --init-groups keystile serve --log-format json \
    --admin-key-file /var/lib/keystile/admin.key $KEYSTILE_SERVE_OPTIONS) 2>serve.log &
serve=$!
curl --silent --retry 9 --retry-connrefused "http://127.0.0.1:$port/readyz" | grep '"status":"ok"'
kill $serve
wait $serve || fail "keystile serve ended with $?"

echo "== install again: a changed configuration stays"
echo '# mine' >>/etc/keystile.env
dpkg --install "$@" >/dev/null
grep -q '^# mine' /etc/keystile.env || fail "/etc/keystile.env was replaced"

echo "== remove, then purge"
dpkg --remove keystile libkeystile-dev libkeystile0.1
[[ -e /etc/keystile.env && ! -e /usr/bin/keystile ]] || fail "remove is not purge"
./issue >/dev/null 2>&1 && fail "the library is still found"
dpkg --purge keystile libkeystile-dev libkeystile0.1 2>purge.log
says "the store in /var/lib/keystile is kept, and so is /etc/keystile.env" "$(cat purge.log)"
[[ $(left) == "$(sort <<<"$before
/etc/keystile.env
/var/lib/keystile
/var/lib/keystile/keystile.db" | sed '/^$/d')" ]] || fail "left: $(left)"
says keystile "$(getent passwd keystile)"
stat -c '%U' /var/lib/keystile/keystile.db | grep -qx keystile || fail "the store has no owner"

echo "== install after a purge: the key is still valid, and the service is not enabled"
dpkg --install "$@" >/dev/null
says allow "$(as_service keystile verify <<<"$key" 2>&1)"
[[ $(stat -c '%a %U' /etc/keystile.env) == "600 root" ]] || fail "/etc/keystile.env can be read"
[[ ! -L $link ]] || fail "the service is enabled"

purge() { dpkg --purge keystile >/dev/null 2>purge.log || fail "the purge failed: $(cat purge.log)"; }
kept() { [[ -e /etc/keystile.env ]] || fail "/etc/keystile.env is gone"; says "$1" "$(cat purge.log)"; }
default=/usr/share/keystile/keystile.env

echo "== purge without a store: a pepper, or a store elsewhere, keeps the settings"
rm -r /var/lib/keystile
purge
kept "/etc/keystile.env is kept"
for line in 's|sqlite:.*db|postgres://localhost/keys|' "s|--listen|--store sqlite:/srv/k.db --listen|"; do
    dpkg --install "$@" >/dev/null
    sed "$line" $default >/etc/keystile.env
    purge
    kept "/etc/keystile.env is kept"
done

echo "== purge with a folder that is a mount point, or a link"
dpkg --install "$@" >/dev/null
cp $default /etc/keystile.env
mkdir /var/lib/keystile
mount -t tmpfs tmpfs /var/lib/keystile
purge
kept "is kept"
umount /var/lib/keystile
rmdir /var/lib/keystile
ln -s "$work/elsewhere" /var/lib/keystile
dpkg --install "$@" >/dev/null
purge
kept "is kept"
[[ -L /var/lib/keystile ]] || fail "the link is gone"
rm /var/lib/keystile

echo "== purge without anything to keep"
dpkg --install "$@" >/dev/null
mkdir /var/lib/keystile
dpkg --purge keystile libkeystile-dev libkeystile0.1 >/dev/null
[[ $(left) == "$before" ]] || fail "left: $(left)"
says keystile "$(getent passwd keystile)"
echo "== nothing but the user is left"
