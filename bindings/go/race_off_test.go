//go:build !race

package keystile_test

// raced reports whether the race detector is on, which needs memory itself.
const raced = false
