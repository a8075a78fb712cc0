package keystileredis_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// rustExample returns a program in Rust that takes tokens, which Cargo builds if it is installed.
func rustExample(t *testing.T) string {
	t.Helper()
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		t.Skip("cargo is not installed")
	}
	build := exec.Command(cargo, "build", "--quiet", "--package", "keystile-redis", "--example", "take", "--message-format=json")
	build.Dir, build.Stderr = "../../..", os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("cargo build: %v", err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		var message struct{ Executable *string }
		if json.Unmarshal([]byte(line), &message) == nil && message.Executable != nil {
			return *message.Executable
		}
	}
	t.Fatal("cargo built no program")
	return ""
}

// Processes in Rust and in Go keep one limit.
func TestRustAndGoShareALimit(t *testing.T) {
	server, program := start(t), rustExample(t)
	limits, daily := server.open(server.options()), must(keystile.NewRateLimit(10, 24*time.Hour))
	inRust := func(tokens string) string {
		out, err := exec.Command(program, server.options().URL, id(1).String(), "10", tokens).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	inGo := func(tokens uint32) uint32 {
		return must(limits.Take(ctx, keystile.Take{Lineage: id(1), Limit: daily, Tokens: tokens})).Tokens
	}
	if first, second, third, fourth := inGo(4), inRust("3"), inGo(5), inRust("1"); first != 4 || second != "3" || third != 3 || fourth != "0" {
		t.Error(first, second, third, fourth)
	}
}
