//go:build race

package keystilesql_test

// raced says that the race detector is on.
const raced = true
