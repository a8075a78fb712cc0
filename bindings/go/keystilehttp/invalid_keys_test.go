package keystilehttp

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var start = time.UnixMilli(1_790_000_000_000)

func threeAnHour() *invalidKeys {
	return newInvalidKeys(keystile.Must(keystile.NewRateLimit(3, time.Hour)))
}

func TestAnAddressIsLimitedUntilItsWindowHasPassed(t *testing.T) {
	limit, address := threeAnHour(), netip.MustParseAddr("192.0.2.1")
	for range 3 {
		if limit.isReached(address, start) {
			t.Error("not yet")
		}
		if _, isTaken := limit.count(address, start); !isTaken {
			t.Error("not yet")
		}
	}
	if wait, isTaken := limit.count(address, start); isTaken || wait != 20*time.Minute || !limit.isReached(address, start) {
		t.Errorf("%v, %v", wait, isTaken)
	}
	if limit.isReached(netip.MustParseAddr("192.0.2.2"), start) || limit.isReached(address, start.Add(20*time.Minute)) {
		t.Error("another address is not limited, and one more is taken after a third of the window")
	}
}

// I10: another spelling of an address, or its neighbour in one network, is not a new one.
func TestOneClientIsOneSource(t *testing.T) {
	for _, row := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "::ffff:192.0.2.1", true}, {"2001:db8::1", "2001:db8::2", true},
		{"2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true}, {"2001:db8::1", "2001:db8:0:1::1", false},
		{"192.0.2.1", "192.0.2.2", false}, {"::", "0.0.0.0", false},
	} {
		limit := threeAnHour()
		for range 3 {
			limit.count(netip.MustParseAddr(row.one), start)
		}
		if limit.isReached(netip.MustParseAddr(row.other), start) != row.same {
			t.Errorf("%v", row)
		}
	}
}

// I9, CVE-2024-21662: a flood of addresses does not make the limit forget.
func TestAFloodOfAddressesFreesNoOne(t *testing.T) {
	limit, hot := threeAnHour(), netip.MustParseAddr("192.0.2.1")
	for range 3 {
		limit.count(hot, start)
	}
	var other [4]byte
	for number := range uint32(100_000) {
		binary.BigEndian.PutUint32(other[:], 0x0a00_0000+number)
		limit.count(netip.AddrFrom4(other), start.Add(time.Millisecond))
	}
	if !limit.isReached(hot, start.Add(time.Millisecond)) {
		t.Error("it was forgotten")
	}
}

// Two look-ups at a time; a third waits, and gives up with its request.
func TestLookUpsOverTheLimitTakeTurns(t *testing.T) {
	limit := threeAnHour()
	release, running := make(chan struct{}), make(chan struct{})
	for range 2 {
		go limit.inTurn(context.Background(), func(context.Context) { running <- struct{}{}; <-release })
		<-running
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if limit.inTurn(ctx, func(context.Context) { t.Error("it had no turn") }) {
		t.Error("it waited for nothing")
	}
	close(release)
	ran := false
	if !limit.inTurn(context.Background(), func(context.Context) { ran = true }) || !ran {
		t.Error("the turn is free again")
	}
}
