module github.com/edgehold/edgehold/packaging/test/standin

go 1.26.0

require github.com/edgehold/edgehold v0.0.0

replace github.com/edgehold/edgehold => ../../..
