// Package prometheus reads the metrics of Prometheus exporters and servers: it
// scrapes text and OpenMetrics expositions, asks the HTTP API of a server, and
// makes points of what a package declares.
package prometheus
