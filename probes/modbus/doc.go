// Package modbus reads registers, coils and discrete inputs of Modbus devices:
// over TCP, over a serial line (RTU), and over a serial line behind a TCP server
// (RTU over TCP). The frames are those of simonvetter/modbus; what may be sent
// when, and what an answer is worth, is decided here.
package modbus
