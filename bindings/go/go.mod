module github.com/keystile/keystile/bindings/go

go 1.24
