module github.com/edgehold/edgehold/agent/mint/oracle

go 1.26.0

require (
	github.com/dynatrace-oss/dynatrace-metric-utils-go v0.5.0
	github.com/edgehold/edgehold v0.0.0
)

require (
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	github.com/rs/zerolog v1.35.1 // indirect
	golang.org/x/sys v0.49.0 // indirect
	periph.io/x/conn/v3 v3.7.2 // indirect
)

replace github.com/edgehold/edgehold => ../../..
