package keystileredis

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/redis/go-redis/v9"
)

// script is what the server runs, the same for each language. The server keeps it by its hash.
//
//go:embed limits.lua
var script string

var scriptHash = func() string {
	hash := sha1.Sum([]byte(script))
	return hex.EncodeToString(hash[:])
}()

const (
	fractionBits = 20
	fractionEnd  = 1 << fractionBits
	millisEnd    = 1 << (64 - fractionBits)
)

// server is what is needed of a client.
type server interface {
	EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd
	Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd
	Pipelined(ctx context.Context, fn func(redis.Pipeliner) error) ([]redis.Cmder, error)
	Close() error
}

// Limits are rate limits that all processes of a service count on one server, by its clock. They
// implement [keystile.Limits].
//
// A call that fails, or that is not answered in time, lets nothing pass. A connection that is lost
// is made again by the next call.
type Limits struct {
	server  server
	prefix  string
	timeout time.Duration
}

// Open returns limits, and does not connect yet: calls fail while the server cannot be used. The
// error is [ErrOptions].
func Open(options Options) (*Limits, error) {
	options, err := options.checked()
	if err != nil {
		return nil, err
	}
	client, err := options.client()
	if err != nil {
		return nil, err
	}
	return &Limits{client, options.Prefix, options.Timeout}, nil
}

// Connect is as [Open], and fails if the server cannot be used.
func Connect(ctx context.Context, options Options) (*Limits, error) {
	limits, err := Open(options)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, max(connectTimeout, limits.timeout))
	defer cancel()
	// It reads and writes: a limit that is so high that it refuses none, since a refusal need not
	// write.
	probe := []any{"take", 1_000_000, 1_000, 1_000_000, 1}
	if _, err := limits.run(ctx, limits.prefix+":{probe}:l", probe); err != nil {
		_ = limits.Close()
		return nil, faultOf(err)
	}
	return limits, nil
}

// Take implements [keystile.Limits].
func (l *Limits) Take(ctx context.Context, take keystile.Take) (keystile.Taken, error) {
	if l == nil || l.server == nil {
		return keystile.Taken{}, keystile.ErrUninitialized
	}
	if take.Lineage.IsZero() {
		return keystile.Taken{}, keystile.ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	key, arguments := l.key(take.Lineage), arguments("take", take.Limit, take.Tokens)
	answer, err := l.run(ctx, key, arguments)
	if isDropped(err) {
		// A connection that was idle may have been closed long ago. Repeated, it can only take
		// more than is used.
		answer, err = l.run(ctx, key, arguments)
	}
	if err != nil {
		return keystile.Taken{}, faultOf(err)
	}
	return taken(answer, take.Tokens)
}

// GiveBack implements [keystile.Limits].
func (l *Limits) GiveBack(ctx context.Context, rests []keystile.Rest) error {
	if l == nil || l.server == nil {
		return keystile.ErrUninitialized
	}
	var keys []string
	var calls [][]any
	for _, rest := range rests {
		if at, within := rest.TakenAt.UnixMilli(), rest.Within.Milliseconds(); rest.Tokens > 0 && at > 0 && within >= 0 {
			keys = append(keys, l.key(rest.Lineage))
			calls = append(calls, append(arguments("give", rest.Limit, rest.Tokens), at, min(within, millisEnd)))
		}
	}
	if len(calls) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	answers, err := l.server.Pipelined(ctx, func(all redis.Pipeliner) error {
		for number, call := range calls {
			all.EvalSha(ctx, scriptHash, keys[number:number+1], call...)
		}
		return nil
	})
	if len(answers) != len(calls) {
		return faultOf(err)
	}
	var first error
	for number, answer := range answers {
		err := answer.Err()
		if lacksScript(err) {
			err = l.server.Eval(ctx, script, keys[number:number+1], calls[number]...).Err()
		}
		if first == nil {
			first = faultOf(err)
		}
	}
	return first
}

// Close ends the connections. Calls fail from then on.
func (l *Limits) Close() error {
	if l == nil || l.server == nil {
		return keystile.ErrUninitialized
	}
	return faultOf(l.server.Close())
}

// Format shows the prefix, and nothing of the server.
func (l *Limits) Format(state fmt.State, _ rune) {
	prefix := ""
	if l != nil {
		prefix = l.prefix
	}
	_, _ = fmt.Fprintf(state, "keystileredis.Limits{Prefix: %q}", prefix)
}

// key returns the name of a lineage. The braces keep all names of a lineage on one server of a
// cluster.
func (l *Limits) key(lineage keystile.KeyID) string {
	return l.prefix + ":{" + lineage.String() + "}:l"
}

func arguments(verb string, limit keystile.RateLimit, tokens uint32) []any {
	return []any{verb, limit.Limit(), limit.Window().Milliseconds(), limit.Burst(), tokens}
}

func (l *Limits) run(ctx context.Context, key string, arguments []any) (*redis.Cmd, error) {
	keys := []string{key}
	answer := l.server.EvalSha(ctx, scriptHash, keys, arguments...)
	if lacksScript(answer.Err()) {
		// It was restarted, or is another one.
		answer = l.server.Eval(ctx, script, keys, arguments...)
	}
	return answer, answer.Err()
}

// taken returns what a take has come to.
func taken(answer *redis.Cmd, asked uint32) (keystile.Taken, error) {
	numbers, err := answer.Int64Slice()
	if err != nil || len(numbers) != 4 {
		return keystile.Taken{}, errAnswer
	}
	tokens, millis, parts, clock := numbers[0], numbers[1], numbers[2], numbers[3]
	if tokens < 0 || tokens > int64(asked) || millis < 0 || millis >= millisEnd || parts < 0 || parts >= fractionEnd || clock <= 0 || clock >= millisEnd {
		return keystile.Taken{}, errAnswer
	}
	state := keystile.RateState(uint64(millis)<<fractionBits | uint64(parts))
	return keystile.Taken{Tokens: uint32(tokens), State: state, Clock: time.UnixMilli(clock).UTC()}, nil
}
