package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"

	"golang.org/x/sys/unix"
)

// mount DEVICE FOLDER KIND
func mount(args []string) error {
	if len(args) != 3 {
		return errUsage
	}
	if err := os.MkdirAll(args[1], 0o755); err != nil {
		return err
	}
	return unix.Mount(args[0], args[1], args[2], 0, "")
}

// cat FILE...
func cat(args []string) error {
	for _, path := range args {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, err := os.Stdout.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// put FILE TEXT
func put(args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	return os.WriteFile(args[0], []byte(args[1]), 0o600)
}

const recordSize = 64

// record is number n as it lies in the file: with a checksum over it, filled up.
func record(n uint64) []byte {
	b := make([]byte, recordSize)
	binary.LittleEndian.PutUint64(b, n)
	binary.LittleEndian.PutUint32(b[recordSize-4:], crc32.ChecksumIEEE(b[:recordSize-4]))
	return b
}

// write FILE sync|nosync appends records and prints the number of each one that
// was written and, with sync, is durable.
func write(args []string) error {
	if len(args) != 2 {
		return errUsage
	}
	f, err := os.OpenFile(args[0], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	folder, err := os.Open("/data")
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil { // the name of the file
		return err
	}
	for n := uint64(1); ; n++ {
		if _, err := f.Write(record(n)); err != nil {
			return err
		}
		if args[1] == "sync" {
			if err := unix.Fdatasync(int(f.Fd())); err != nil {
				return err
			}
		}
		fmt.Println(n)
	}
}

// records FILE prints how many whole records are there, from the first on.
func records(args []string) error {
	if len(args) != 1 {
		return errUsage
	}
	data, err := os.ReadFile(args[0])
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	n := uint64(0)
	for len(data) >= recordSize && string(data[:recordSize]) == string(record(n+1)) {
		data, n = data[recordSize:], n+1
	}
	_, err = fmt.Println(n)
	return err
}
