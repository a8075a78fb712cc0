//go:build !race

package keystile_test

// raced says that the race detector is on, which keeps memory of its own.
const raced = false
