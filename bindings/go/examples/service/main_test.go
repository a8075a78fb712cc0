package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The program itself is tested: this test runs its own binary as the program.
func TestMain(m *testing.M) {
	if os.Getenv("KEYSTILE_EXAMPLE_SERVICE") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func command(words ...string) *exec.Cmd {
	own := exec.Command(os.Args[0], words...)
	own.Env = append(os.Environ(), "KEYSTILE_EXAMPLE_SERVICE=1")
	own.Stderr = os.Stderr
	return own
}

func output(t *testing.T, words ...string) string {
	t.Helper()
	out, err := command(words...).Output()
	if err != nil {
		t.Fatalf("%v: %v", words[1:2], err)
	}
	return strings.TrimSpace(string(out))
}

// serving runs the service until the test ends, and returns its address.
func serving(t *testing.T, database string) string {
	t.Helper()
	own := command(database, "serve", "localhost:0")
	out, err := own.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = own.Process.Signal(syscall.SIGTERM)
		if err := own.Wait(); err != nil {
			t.Errorf("the service ends cleanly: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + strings.TrimSpace(strings.TrimPrefix(line, "serving on"))
}

func ask(t *testing.T, method, url string, headers ...string) (int, map[string]any) {
	t.Helper()
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(headers); at += 2 {
		request.Header.Set(headers[at], headers[at+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return response.StatusCode, body
}

func expect(t *testing.T, status int, body map[string]any, expected int, fields map[string]any) {
	t.Helper()
	for name, value := range fields {
		if !reflect.DeepEqual(body[name], value) {
			t.Errorf("%s: %v for %v", name, body[name], value)
		}
	}
	if status != expected {
		t.Errorf("status %d for %d: %v", status, expected, body)
	}
}

func TestTheExpressRecipesRoutes(t *testing.T) {
	database := filepath.Join(t.TempDir(), "keys.db")
	reader := output(t, database, "issue", "Reader Ltd", "read")
	writer := output(t, database, "issue", "Writer Ltd", "read", "write")
	url := serving(t, database)

	status, body := ask(t, "GET", url+"/api/profile", "X-API-Key", reader)
	expect(t, status, body, 200, map[string]any{"client": "Reader Ltd", "permissions": []any{"read"}})
	status, body = ask(t, "POST", url+"/api/data", "Authorization", "Bearer "+writer)
	expect(t, status, body, 201, map[string]any{"client": "Writer Ltd", "message": "Data created successfully"})
	status, body = ask(t, "POST", url+"/api/data", "X-API-Key", reader)
	expect(t, status, body, 403, map[string]any{"code": "permission_missing", "missing": []any{"write"}})
	status, body = ask(t, "GET", url+"/api/profile")
	expect(t, status, body, 401, map[string]any{"code": "missing_credential"})
	status, body = ask(t, "GET", url+"/api/profile", "X-API-Key", reader+"x")
	expect(t, status, body, 401, map[string]any{"code": "invalid_key"})

	// Another process issues and revokes, and the service is notified of it.
	late := output(t, database, "issue", "Late Ltd", "read")
	status, body = ask(t, "GET", url+"/api/profile", "X-API-Key", late)
	expect(t, status, body, 200, map[string]any{"client": "Late Ltd"})
	id := strings.Split(strings.TrimPrefix(reader, "acme_"), "_")[0]
	output(t, database, "revoke", id)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		status, body = ask(t, "GET", url+"/api/profile", "X-API-Key", reader)
		if status == 401 || time.Now().After(deadline) {
			break
		}
	}
	expect(t, status, body, 401, map[string]any{"code": "key_revoked"})
}
