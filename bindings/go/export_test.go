package keystile

// WithLeaseClock sets the clock of the revocation bound.
func WithLeaseClock(options Options, clock func() uint64) Options {
	options.leaseClock = clock
	return options
}
