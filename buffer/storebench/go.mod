module github.com/edgehold/edgehold/buffer/storebench

go 1.26.0

require (
	github.com/edgehold/edgehold v0.0.0
	github.com/rs/zerolog v1.35.1
	go.etcd.io/bbolt v1.5.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/gosnmp/gosnmp v1.47.0 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	periph.io/x/conn/v3 v3.7.2 // indirect
)

replace github.com/edgehold/edgehold => ../..
