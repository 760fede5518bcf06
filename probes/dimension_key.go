package probes

import "strings"

// maxDimensionKey is the documented limit, in bytes.
const maxDimensionKey = 100

// AppendDimensionKey appends the key of a dimension as it leaves: in lower case,
// with an underscore for each run of bytes that may not stand there, and cut to
// its length. A key of dots only gives nothing.
func AppendDimensionKey(dst []byte, key string) []byte {
	if isNormal(key) && len(key) <= maxDimensionKey {
		return append(dst, key...)
	}
	start := len(dst)
	for section := range strings.SplitSeq(key, ".") {
		if section == "" {
			continue
		}
		if len(dst) > start {
			dst = append(dst, '.')
		}
		dst = appendSection(dst, section)
	}
	if len(dst) > start+maxDimensionKey {
		dst = dst[:start+maxDimensionKey]
		if dst[len(dst)-1] == '.' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}

// DimensionKey is what AppendDimensionKey appends. A key that is so already,
// which most are, is not copied.
func DimensionKey(key string) string {
	if isNormal(key) && len(key) <= maxDimensionKey {
		return key
	}
	return string(AppendDimensionKey(nil, key))
}

// mayStand tells whether a byte may stand in a section of a key.
func mayStand(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c == '_' || !first && (c >= '0' && c <= '9' || c == '-' || c == ':')
}

// isNormal reports whether normalising changes nothing of a key but its length.
func isNormal(key string) bool {
	first := true
	for i := range len(key) {
		switch c := key[i]; {
		case c == '.' && !first && i+1 < len(key):
			first = true
		case mayStand(c, first):
			first = false
		default:
			return false
		}
	}
	return true
}

func appendSection(dst []byte, section string) []byte {
	first, run := true, false
	for i := range len(section) {
		c := section[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if mayStand(c, first) {
			dst = append(dst, c)
			first, run = false, false
			continue
		}
		if !run {
			dst = append(dst, '_')
		}
		run = true
	}
	return dst
}
