package keystileredis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/redis/go-redis/v9"
)

// Why a call of the server failed, without the text of its answer: a server that does not know
// AUTH repeats the password.
var (
	errLate        = errors.New("keystileredis: the server did not answer in time")
	errCredentials = errors.New("keystileredis: the server refuses the user or the password, or requires one")
	errNoRight     = errors.New("keystileredis: the server's user may not use a command or a key that is needed")
	errReadOnly    = errors.New("keystileredis: the server is a replica, or has too few of them, and refuses to write")
	errFull        = errors.New("keystileredis: the server has reached its maxmemory and removes nothing")
	errAnswer      = errors.New("keystileredis: the server's answer is not what was expected")
	errDamaged     = fmt.Errorf("keystileredis: the state of a rate limit on the server is damaged: %w", keystile.ErrCorrupt)
	errLimit       = fmt.Errorf("keystileredis: the server's script refuses the limit: %w", keystile.ErrLimit)
	errTLS         = errors.New("keystileredis: the server's certificate is not trusted; see RootCertificates")
	errClosed      = errors.New("keystileredis: it was closed")
)

// faults are the beginnings of answers.
var faults = []struct {
	begins string
	fault  error
}{
	{"NOAUTH", errCredentials}, {"WRONGPASS", errCredentials}, {"ERR invalid password", errCredentials},
	{"ERR AUTH", errCredentials}, {"ERR Client sent AUTH", errCredentials}, {"NOPERM", errNoRight},
	// What Redis 7.0 answers if the command is in a script.
	{"ERR The user executing the script can't", errNoRight},
	{"READONLY", errReadOnly}, {"NOREPLICAS", errReadOnly}, {"OOM", errFull},
	{"KEYSTILE the state of the lineage is damaged", errDamaged}, {"KEYSTILE", errLimit},
}

// faultOf returns why a call failed.
func faultOf(err error) error {
	var answer redis.Error
	var network net.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, redis.ErrClosed):
		return errClosed
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, redis.ErrPoolTimeout):
		return errLate
	case errors.As(err, &network):
		if network.Timeout() {
			return errLate
		}
		return unreachable(err)
	case errors.As(err, &answer):
		for _, known := range faults {
			if strings.HasPrefix(answer.Error(), known.begins) {
				return known.fault
			}
		}
		code, _, _ := strings.Cut(answer.Error(), " ")
		return fmt.Errorf("keystileredis: the server refuses the call: %.32q", code)
	default:
		return unreachable(err)
	}
}

// unreachable returns that there is no connection, and why if that is known.
func unreachable(err error) error {
	var system syscall.Errno
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return errTLS
	case errors.As(err, &system):
		return fmt.Errorf("keystileredis: the server cannot be reached: %w", system)
	case errors.As(err, &name):
		return errors.New("keystileredis: the server cannot be reached: its name has no address")
	default:
		return errors.New("keystileredis: the server cannot be reached, or is no Redis server of this URL")
	}
}

// isDropped reports whether the connection ended before there was an answer.
func isDropped(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func lacksScript(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer) && strings.HasPrefix(answer.Error(), "NOSCRIPT")
}
