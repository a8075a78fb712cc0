// Package keystileredis counts the rate limits of keystile on a Redis or Valkey server that all
// processes of a service share, and notifies these processes of changes to keys.
//
// [Limits] are for [keystile.Options.Limits], and [Wake] is for [keystile.Options.Wake]. Processes
// in Go and in other languages count on the same server by the same script, so they keep one
// limit together.
//
// A server that is lost with its memory lets at most one burst of each limit more pass. While it
// does not answer, a service refuses the keys that have a limit, or lets a part of each limit pass
// in each process: see [keystile.Leases]. The server must not remove what has not expired to make
// room: its maxmemory-policy should be noeviction.
package keystileredis
