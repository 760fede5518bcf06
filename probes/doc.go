// Package probes is the vocabulary of Edgehold: what a measurement is, what
// takes one, and the small value types that configuration shares. It holds
// types and pure functions only and imports nothing else of Edgehold.
package probes
