module github.com/edgehold/edgehold/buffer/powercut

go 1.26.0

replace github.com/edgehold/edgehold => ../..

require (
	github.com/edgehold/edgehold v0.0.0
	github.com/hanwen/go-fuse/v2 v2.12.1
	golang.org/x/sys v0.49.0
)

require (
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/rs/zerolog v1.35.1 // indirect
	go.etcd.io/bbolt v1.5.0 // indirect
	periph.io/x/conn/v3 v3.7.2 // indirect
)
