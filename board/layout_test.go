package board

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is handed to the kernel has its layout, by its own headers and compiler.
func TestLayoutOfTheKernel(t *testing.T) {
	var (
		message  i2cMessage
		messages i2cMessages
		call     smbusCall
		request  unix.GPIOV2LineRequest
	)
	ours := []struct {
		c    string // an expression
		here uintptr
	}{
		{"sizeof(void *)", unsafe.Sizeof(uintptr(0))},
		{"sizeof(struct i2c_msg)", unsafe.Sizeof(message)},
		{"offsetof(struct i2c_msg, flags)", unsafe.Offsetof(message.flags)},
		{"offsetof(struct i2c_msg, len)", unsafe.Offsetof(message.length)},
		{"offsetof(struct i2c_msg, buf)", unsafe.Offsetof(message.buffer)},
		{"sizeof(struct i2c_rdwr_ioctl_data)", unsafe.Sizeof(messages)},
		{"offsetof(struct i2c_rdwr_ioctl_data, nmsgs)", unsafe.Offsetof(messages.count)},
		{"sizeof(struct i2c_smbus_ioctl_data)", unsafe.Sizeof(call)},
		{"offsetof(struct i2c_smbus_ioctl_data, command)", unsafe.Offsetof(call.command)},
		{"offsetof(struct i2c_smbus_ioctl_data, size)", unsafe.Offsetof(call.size)},
		{"offsetof(struct i2c_smbus_ioctl_data, data)", unsafe.Offsetof(call.data)},
		{"sizeof(union i2c_smbus_data)", unsafe.Sizeof(smbusData{})},
		{"sizeof(struct gpiochip_info)", unsafe.Sizeof(unix.GPIOChipInfo{})},
		{"sizeof(struct gpio_v2_line_info)", unsafe.Sizeof(unix.GPIOV2LineInfo{})},
		{"sizeof(struct gpio_v2_line_request)", unsafe.Sizeof(request)},
		{"offsetof(struct gpio_v2_line_request, config)", unsafe.Offsetof(request.Config)},
		{"offsetof(struct gpio_v2_line_request, fd)", unsafe.Offsetof(request.Fd)},
		{"sizeof(struct gpio_v2_line_values)", unsafe.Sizeof(unix.GPIOV2LineValues{})},
		{"sizeof(struct gpio_v2_line_event)", eventSize},
		{"offsetof(struct gpio_v2_line_event, id)", 8},
		{"offsetof(struct gpio_v2_line_event, line_seqno)", 20},
		{"I2C_SLAVE", ioctlSlave},
		{"I2C_FUNCS", ioctlFunctions},
		{"I2C_RDWR", ioctlReadWrite},
		{"I2C_SMBUS", ioctlSMBus},
		{"I2C_M_RD", messageRead},
		{"I2C_FUNC_I2C", uintptr(canI2C)},
		{"I2C_FUNC_SMBUS_READ_BYTE", uintptr(canReadByte)},
		{"I2C_FUNC_SMBUS_WRITE_BYTE", uintptr(canWriteByte)},
		{"I2C_FUNC_SMBUS_READ_BYTE_DATA", uintptr(canReadByteD)},
		{"I2C_FUNC_SMBUS_WRITE_BYTE_DATA", uintptr(canWriteByteD)},
		{"I2C_FUNC_SMBUS_READ_WORD_DATA", uintptr(canReadWord)},
		{"I2C_FUNC_SMBUS_WRITE_WORD_DATA", uintptr(canWriteWord)},
		{"I2C_FUNC_SMBUS_READ_I2C_BLOCK", uintptr(canReadBlock)},
		{"I2C_FUNC_SMBUS_WRITE_I2C_BLOCK", uintptr(canWriteBlock)},
		{"I2C_SMBUS_BYTE", smbusByte},
		{"I2C_SMBUS_BYTE_DATA", smbusByteData},
		{"I2C_SMBUS_WORD_DATA", smbusWordData},
		{"I2C_SMBUS_I2C_BLOCK_DATA", smbusI2CBlock},
		{"I2C_SMBUS_BLOCK_MAX", smbusBlockMax},
		{"I2C_SMBUS_READ", 1},
		{"GPIO_GET_CHIPINFO_IOCTL", gpioGetChipInfo},
		{"GPIO_V2_GET_LINEINFO_IOCTL", unix.GPIO_V2_GET_LINEINFO_IOCTL},
		{"GPIO_V2_GET_LINE_IOCTL", unix.GPIO_V2_GET_LINE_IOCTL},
		{"GPIO_V2_LINE_GET_VALUES_IOCTL", unix.GPIO_V2_LINE_GET_VALUES_IOCTL},
		{"GPIO_V2_LINE_FLAG_USED", lineUsed},
		{"GPIO_V2_LINE_FLAG_ACTIVE_LOW", lineActiveLow},
		{"GPIO_V2_LINE_FLAG_INPUT", lineInput},
		{"GPIO_V2_LINE_FLAG_OUTPUT", lineOutput},
		{"GPIO_V2_LINE_FLAG_EDGE_RISING", lineEdgeRising},
		{"GPIO_V2_LINE_FLAG_EDGE_FALLING", lineEdgeFalling},
		{"GPIO_V2_LINE_FLAG_BIAS_PULL_UP", linePullUp},
		{"GPIO_V2_LINE_FLAG_BIAS_PULL_DOWN", linePullDown},
		{"GPIO_V2_LINE_FLAG_BIAS_DISABLED", linePullNone},
		{"WDIOC_SETTIMEOUT", unix.WDIOC_SETTIMEOUT},
		{"WDIOF_CARDRESET", bootedByWatchdog},
	}
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("install gcc: it tells the layout of the kernel's structures")
		}
		t.Skip("no gcc, which tells the layout of the kernel's structures")
	}
	source := "#include <stdio.h>\n#include <stddef.h>\n#include <linux/types.h>\n#include <linux/i2c.h>\n#include <linux/i2c-dev.h>\n#include <linux/gpio.h>\n#include <linux/watchdog.h>\nint main(void) {\n"
	var want strings.Builder
	for _, o := range ours {
		source += fmt.Sprintf("\tprintf(\"%%s %%lu\\n\", %q, (unsigned long)(%s));\n", o.c, o.c)
		fmt.Fprintf(&want, "%s %d\n", o.c, o.here)
	}
	dir := t.TempDir()
	file, program := filepath.Join(dir, "layout.c"), filepath.Join(dir, "layout")
	if err := os.WriteFile(file, []byte(source+"\treturn 0;\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(gcc, "-o", program, file).CombinedOutput(); err != nil {
		t.Skipf("gcc cannot build it, the headers of the kernel may be missing: %v: %s", err, out)
	}
	out, err := exec.Command(program).Output()
	if err != nil {
		t.Fatal(err)
	}
	theirs, mine := strings.Split(string(out), "\n"), strings.Split(want.String(), "\n")
	if theirs[0] != mine[0] {
		t.Skipf("gcc builds for a machine with %s, this test runs with %s", theirs[0], mine[0])
	}
	for i := range mine {
		if i >= len(theirs) || theirs[i] != mine[i] {
			t.Errorf("the kernel says %q, here it is %q", theirs[i], mine[i])
		}
	}
}

// The same on 32 bits, where a pointer is of 4 bytes; this runs there too.
func TestLayoutByPointerSize(t *testing.T) {
	pointer := unsafe.Sizeof(uintptr(0))
	if got := unsafe.Sizeof(i2cMessage{}); got != 8+pointer {
		t.Errorf("struct i2c_msg has %d bytes", got)
	}
	if got := unsafe.Sizeof(i2cMessages{}); got != 2*pointer {
		t.Errorf("struct i2c_rdwr_ioctl_data has %d bytes", got)
	}
	if got := unsafe.Sizeof(smbusCall{}); got != 8+pointer {
		t.Errorf("struct i2c_smbus_ioctl_data has %d bytes", got)
	}
	if got := unsafe.Sizeof(smbusData{}); got != 34 || unsafe.Alignof(smbusData{}) != 2 {
		t.Errorf("union i2c_smbus_data has %d bytes", got)
	}
	if got := unsafe.Sizeof(unix.GPIOV2LineRequest{}); got != 592 {
		t.Errorf("struct gpio_v2_line_request has %d bytes", got)
	}
	if got := unsafe.Sizeof(unix.GPIOV2LineInfo{}); got != 256 {
		t.Errorf("struct gpio_v2_line_info has %d bytes", got)
	}
}
