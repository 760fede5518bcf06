module github.com/edgehold/edgehold/packaging/emulated

go 1.26.0

replace github.com/edgehold/edgehold => ../..

require (
	github.com/edgehold/edgehold v0.0.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/rs/zerolog v1.35.1 // indirect
)
