package keystileredis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystileredis"
)

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	good, secret := "redis://127.0.0.1", "a-secret-word"
	file := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, options := range []keystileredis.Options{
		{}, {URL: "https://x"}, {URL: "redis://"}, {URL: "unix:///tmp/socket"}, {URL: "redis://user:" + secret + "@host:port"},
		{URL: "rediss://:" + secret + "@host?skip_verify=true"}, {URL: good + "/0#insecure"}, {URL: good + "/" + secret},
		{URL: good, Timeout: -1}, {URL: good, Timeout: time.Hour}, {URL: good, Prefix: "{a}"}, {URL: good, Prefix: "a b"},
		{URL: good, Prefix: strings.Repeat("a", 65)}, {URL: good, RootCertificates: file}, {URL: "rediss://host", RootCertificates: file},
		{URL: "rediss://host", RootCertificates: file + "x"},
	} {
		limits, err := keystileredis.Open(options)
		if limits != nil || !errors.Is(err, keystileredis.ErrOptions) || strings.Contains(err.Error(), secret) {
			t.Errorf("%+v: %v", options, err)
		}
		if wake, err := keystileredis.OpenWake(options, "keys"); wake != nil || !errors.Is(err, keystileredis.ErrOptions) {
			t.Errorf("%+v: %v", options, err)
		}
	}
	for _, name := range []string{"", "a b", "a:b", "*", "ü", strings.Repeat("x", 65)} {
		if _, err := keystileredis.OpenWake(keystileredis.Options{URL: good}, name); !errors.Is(err, keystileredis.ErrOptions) {
			t.Errorf("%q: %v", name, err)
		}
	}
	shown := fmt.Sprintf("%v %+v %#v %s", keystileredis.Options{URL: secret}, keystileredis.Options{URL: secret}, keystileredis.Options{URL: secret}, must(keystileredis.Open(keystileredis.Options{URL: "redis://:" + secret + "@127.0.0.1"})))
	if strings.Contains(shown, secret) {
		t.Error(shown)
	}
}

// What a server refuses is named, without what it answered.
func TestWhyAServerCannotBeUsed(t *testing.T) {
	const secret = "a-secret-word"
	protected := start(t, "requirepass "+secret)
	rights := start(t, "user reader on >"+secret+" ~keystile:* +@read +@connection", "user blind on >"+secret+" ~other:* +@all")
	replica := start(t, "replicaof 127.0.0.1 1")
	full := start(t, "maxmemory 1", "maxmemory-policy noeviction")
	url := func(s *server, login string) string { return fmt.Sprintf("redis://%s127.0.0.1:%d", login, s.port) }
	for _, step := range []struct{ url, why string }{
		{url(protected, ""), "the user or the password"},
		{url(protected, ":wrong-"+secret+"@"), "the user or the password"},
		{url(rights, "unknown:"+secret+"@"), "the user or the password"},
		{url(rights, "reader:"+secret+"@"), "may not use a command or a key"},
		{url(rights, "blind:"+secret+"@"), "may not use a command or a key"},
		{url(replica, ""), "is a replica"},
		{url(full, ""), "maxmemory"},
		{"redis://127.0.0.1:1", "connection refused"},
		{strings.Replace(url(protected, ":"+secret+"@"), "redis:", "rediss:", 1), ""},
	} {
		_, err := keystileredis.Connect(ctx, keystileredis.Options{URL: step.url, Timeout: patience})
		if err == nil || !strings.Contains(err.Error(), step.why) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", step.why, err)
		}
	}
	protected.open(keystileredis.Options{URL: url(protected, ":"+secret+"@")})
}

// A state that is damaged lets nothing pass, and stops no other lineage.
func TestADamagedStateIsAnErrorOfItsLineage(t *testing.T) {
	server := start(t)
	limits := server.open(server.options())
	for _, value := range []string{"", "x", "10:3600000:10:1:2:3", "10:3600000:10:-1:0", "0:3600000:10:1:0"} {
		server.do("SET", "keystile:{"+id(1).String()+"}:l", value)
		if taken, err := limits.Take(ctx, keystile.Take{Lineage: id(1), Limit: hourly(10), Tokens: 1}); taken.Tokens != 0 || !errors.Is(err, keystile.ErrCorrupt) {
			t.Errorf("%q: %v, %v", value, taken, err)
		}
		if taken := must(limits.Take(ctx, keystile.Take{Lineage: id(2), Limit: hourly(10), Tokens: 1})); taken.Tokens != 1 {
			t.Error("another lineage is refused")
		}
	}
	if _, err := limits.Take(ctx, keystile.Take{Lineage: id(1), Tokens: 1}); !errors.Is(err, keystile.ErrLimit) {
		t.Error(err)
	}
	if _, err := limits.Take(ctx, keystile.Take{Limit: hourly(1), Tokens: 1}); !errors.Is(err, keystile.ErrNotFound) {
		t.Error(err)
	}
}

// A call ends with its timeout and with its context.
func TestAServerThatHangsIsGivenUp(t *testing.T) {
	silent := must(net.Listen("tcp", "127.0.0.1:0"))
	defer silent.Close()
	options := keystileredis.Options{URL: "redis://" + silent.Addr().String(), Timeout: 20 * time.Millisecond}
	limits := must(keystileredis.Open(options))
	defer limits.Close()
	for _, call := range []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := limits.Take(ctx, keystile.Take{Lineage: id(1), Limit: hourly(1), Tokens: 1})
			return err
		},
		func(ctx context.Context) error {
			return limits.GiveBack(ctx, []keystile.Rest{{Lineage: id(1), Limit: hourly(1), Tokens: 1, TakenAt: time.Now(), Within: time.Hour}})
		},
	} {
		if err := call(ctx); err == nil || !strings.Contains(err.Error(), "in time") {
			t.Error(err)
		}
		ended, end := context.WithCancel(ctx)
		end()
		if err := call(ended); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if err := limits.Close(); err != nil {
		t.Error(err)
	}
	if _, err := limits.Take(ctx, keystile.Take{Lineage: id(1), Limit: hourly(1), Tokens: 1}); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
}

func TestNothingPanicsOnNothing(t *testing.T) {
	for _, limits := range []*keystileredis.Limits{nil, {}} {
		_, err := limits.Take(ctx, keystile.Take{})
		if _ = fmt.Sprint(limits); !errors.Is(err, keystile.ErrUninitialized) || !errors.Is(limits.GiveBack(ctx, nil), keystile.ErrUninitialized) || limits.Close() == nil {
			t.Error(err)
		}
	}
	for _, wake := range []*keystileredis.Wake{nil, {}} {
		wake.Changed()
		if _ = fmt.Sprint(wake); !errors.Is(wake.Listen(ctx, nil), keystile.ErrUninitialized) || wake.Close() == nil {
			t.Error("no error")
		}
	}
}
