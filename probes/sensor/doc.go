// Package sensor is the kind of probe for what is wired to this machine: parts on
// an I2C bus, sensors that the kernel reads, contacts and pulse outputs on lines
// of a GPIO chip. One entry is one sensor.
package sensor
