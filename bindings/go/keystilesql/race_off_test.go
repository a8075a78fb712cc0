//go:build !race

package keystilesql_test

// raced reports whether the race detector is on.
const raced = false
