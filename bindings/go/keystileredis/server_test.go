package keystileredis_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keystile/keystile/bindings/go/keystileredis"
	"github.com/redis/go-redis/v9"
)

// required is set if a missing server is a failure and not a reason to skip.
const required = "KEYSTILE_REQUIRE_REDIS"

// patience is for what ends by itself, on a machine that is busy.
const patience = time.Minute

// server is a Redis server on a free port of this machine, which keeps nothing on the disk.
type server struct {
	*testing.T
	folder string
	port   int
	// settings are more lines of its configuration; FOLDER is its folder, and PORT its port.
	settings string
	running  *exec.Cmd
	guard    io.WriteCloser
	// direct is for commands of the test itself, by a way that no test cuts.
	direct *redis.Client
}

func start(t *testing.T, settings ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		if os.Getenv(required) != "" {
			t.Fatalf("redis-server is not installed, and %s is set; try `apt install redis-server`", required)
		}
		t.Skip("Redis is not installed; try `apt install redis-server`")
	}
	// The path of a socket must be short.
	folder := must(os.MkdirTemp("", "redis"))
	s := &server{T: t, folder: folder, settings: strings.Join(settings, "\n")}
	t.Cleanup(func() {
		s.kill()
		_ = os.RemoveAll(folder)
	})
	s.run()
	return s
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// run starts or restarts it, on the port that it had, and waits until it answers.
func (s *server) run() {
	s.Helper()
	isNew := s.port == 0
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if isNew {
			listener := must(net.Listen("tcp", "127.0.0.1:0"))
			s.port = listener.Addr().(*net.TCPAddr).Port
			_ = listener.Close()
		}
		conf := fmt.Sprintf("bind 127.0.0.1\nport PORT\ndir FOLDER\nunixsocket FOLDER/socket\nsave \"\"\nappendonly no\nlogfile FOLDER/log\n%s\n", s.settings)
		conf = strings.NewReplacer("FOLDER", s.folder, "PORT", fmt.Sprint(s.port)).Replace(conf)
		file := filepath.Join(s.folder, "conf")
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			s.Fatal(err)
		}
		s.running = exec.Command("redis-server", file)
		if err := s.running.Start(); err != nil {
			s.Fatal(err)
		}
		// It ends with this process at the latest.
		guard := exec.Command("sh", "-c", `read -r word; [ "$word" = leave ] || kill -9 "$1"`, "guard", fmt.Sprint(s.running.Process.Pid))
		s.guard = must(guard.StdinPipe())
		if err := guard.Start(); err != nil {
			s.Fatal(err)
		}
		go func() { _ = guard.Wait() }()
		ended := make(chan struct{})
		go func(own *exec.Cmd) { _ = own.Wait(); close(ended) }(s.running)
		s.direct = redis.NewClient(&redis.Options{Network: "unix", Addr: filepath.Join(s.folder, "socket"), MaxRetries: -1})
		for hasEnded := false; !hasEnded && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if err := s.direct.Ping(context.Background()).Err(); err == nil || strings.HasPrefix(err.Error(), "NOAUTH") {
				return
			}
			// Another program may have taken the port meanwhile.
			select {
			case <-ended:
				hasEnded = true
			default:
			}
		}
		s.kill()
	}
	log, _ := os.ReadFile(filepath.Join(s.folder, "log"))
	s.Fatalf("the server does not start: %s", log)
}

// kill kills it, as a power failure would.
func (s *server) kill() {
	if s.running == nil {
		return
	}
	_ = s.direct.Close()
	_ = s.running.Process.Kill()
	_, _ = io.WriteString(s.guard, "leave\n")
	s.running = nil
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err != nil {
			return
		}
		_ = connection.Close()
	}
	s.Error("the server does not end")
}

func (s *server) options() keystileredis.Options {
	// Long beyond any test.
	return keystileredis.Options{URL: fmt.Sprintf("redis://127.0.0.1:%d", s.port), Timeout: time.Minute}
}

func (s *server) open(options keystileredis.Options) *keystileredis.Limits {
	s.Helper()
	limits, err := keystileredis.Connect(context.Background(), options)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = limits.Close() })
	return limits
}

// do runs a command, given in words.
func (s *server) do(words ...any) any {
	s.Helper()
	answer, err := s.direct.Do(context.Background(), words...).Result()
	if err != nil {
		s.Fatalf("%v: %v", words, err)
	}
	return answer
}

// The client reports to the standard error output what these tests bring about.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

func init() { redis.SetLogger(silent{}) }
