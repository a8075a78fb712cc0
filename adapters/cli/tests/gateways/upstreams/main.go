// A service on Go's net/http, which speaks HTTP/2 without TLS too.
//
// It prints each request that reaches it as a line of JSON, and returns that line.
package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
)

type seen struct {
	Upstream string      `json:"upstream"`
	HTTP     string      `json:"http"`
	Method   string      `json:"method"`
	Target   string      `json:"target"`
	Headers  [][2]string `json:"headers"`
	Body     string      `json:"body"`
}

func main() {
	var lines sync.Mutex
	service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		own := seen{"go", r.Proto, r.Method, r.RequestURI, [][2]string{{"Host", r.Host}}, string(body)}
		for name, values := range r.Header {
			for _, value := range values {
				own.Headers = append(own.Headers, [2]string{name, value})
			}
		}
		line, err := json.Marshal(own)
		if err != nil {
			log.Fatal(err)
		}
		lines.Lock()
		os.Stdout.Write(append(line, '\n'))
		lines.Unlock()
		w.Header().Set("Content-Type", "application/json")
		w.Write(line)
	})
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: service, Protocols: &protocols}
	log.Fatal(server.ListenAndServe())
}
