package store

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// longestName leaves room for escapes in the 255 bytes of a file name.
const longestName = 200

// escape makes a file name of a package's name or version: what is not a lower
// case letter, a digit or one of -_. becomes % and two hex digits, and so does
// a leading dot. Different names give different file names, also where the file
// system does not tell upper from lower case.
func escape(name string) (string, error) {
	if name == "" {
		return "", errors.New("is empty")
	}
	var b strings.Builder
	for i := range len(name) {
		c := name[i]
		plain := c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' && i > 0
		if plain {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	if b.Len() > longestName {
		return "", fmt.Errorf("%q is too long", name)
	}
	return b.String(), nil
}

// unescape is the name that escape made file of; not ok for other files.
func unescape(file string) (name string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(file); i++ {
		if file[i] != '%' {
			b.WriteByte(file[i])
			continue
		}
		if i+3 > len(file) {
			return "", false
		}
		c, err := strconv.ParseUint(file[i+1:i+3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		i += 2
	}
	again, err := escape(b.String())
	return b.String(), err == nil && again == file
}
