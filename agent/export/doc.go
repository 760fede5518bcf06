// Package export reads the store for people: as files in three formats, as the
// history of one device, and as a picture of the store itself. It reads from
// the store of a running agent over its control socket, or from the file of a
// stopped one, through the same Source.
package export
