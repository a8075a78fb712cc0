// Package routers guards the same two routes with http.ServeMux, chi and gin.
package routers

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
)

// greet is a handler that knows the client of the request.
func greet(w http.ResponseWriter, r *http.Request) {
	key, _ := keystilehttp.KeyFrom(r.Context())
	record, err := key.Record(r.Context())
	if err != nil {
		http.Error(w, "the key's record cannot be read", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "hello %s", record.ClientName)
}

// ServeMux guards routes one by one.
func ServeMux(guard *keystilehttp.Guard) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /api/profile/{name}", guard.Handler(http.HandlerFunc(greet)))
	mux.Handle("POST /api/data/{name}", guard.Require("write")(http.HandlerFunc(greet)))
	return mux
}

// Chi checks the key for a group, and a permission for one of its routes.
func Chi(guard *keystilehttp.Guard) http.Handler {
	router := chi.NewRouter()
	router.Route("/api", func(api chi.Router) {
		api.Use(guard.Handler)
		api.Get("/profile/{name}", greet)
		api.With(guard.Require("write")).Post("/data/{name}", greet)
	})
	return router
}

// Gin accepts any net/http middleware through [ginned].
func Gin(guard *keystilehttp.Guard) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	api := router.Group("/api", ginned(guard.Handler))
	api.GET("/profile/:name", gin.WrapF(greet))
	api.POST("/data/:name", ginned(guard.Require("write")), gin.WrapF(greet))
	return router
}

// ginned converts net/http middleware to gin's: a refused request ends there.
func ginned(middleware func(http.Handler) http.Handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		passed := false
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			passed = true
			c.Request = r
		})
		middleware(next).ServeHTTP(c.Writer, c.Request)
		if !passed {
			c.Abort()
		}
	}
}
