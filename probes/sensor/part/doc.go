// Package part drives sensors on an I2C bus: what each part is asked, and what
// its answers mean. A driver sets up the part anew after every failure, waits
// with the context of the poll, and starts no goroutine.
package part
