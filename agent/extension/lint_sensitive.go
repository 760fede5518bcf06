package extension

import (
	"slices"
	"strings"
	"unicode"
)

// Why a dimension is sensitive.
const (
	reasonPerson  = "it names a person or an account"
	reasonSerial  = "it identifies one piece of hardware"
	reasonAddress = "it is an address of the network"
	reasonMAC     = "it is a hardware address, which identifies one device and often its user"
	reasonText    = "it is free text, where people write names, places and telephone numbers"
	reasonPlace   = "it tells where something or somebody is"
	reasonSecret  = "it may hold a secret"
	reasonCommand = "it is a command line, which may hold pass phrases"
)

// sensitiveWords are the words of a dimension's key that make it sensitive.
var sensitiveWords = []struct {
	reason string
	words  []string
}{
	{reasonSecret, []string{"password", "passwd", "passphrase", "community", "secret", "token", "apikey", "credential"}},
	{reasonPerson, []string{
		"user", "username", "login", "account", "owner", "subscriber", "person", "employee", "customer", "email", "mail",
		"phone", "mobile", "msisdn", "imsi", "firstname", "lastname", "surname", "principal", "signer",
	}},
	{reasonSerial, []string{"serial", "serialnumber", "serialnum", "serialno", "imei", "iccid", "asset", "assettag", "assetid", "uuid"}},
	{reasonMAC, []string{"mac", "macaddress", "macaddr", "bssid", "physaddress", "physaddr", "chassisid"}},
	{reasonAddress, []string{"ip", "ipv4", "ipv6", "ipaddress", "ipaddr", "address", "addr", "nexthop", "sender"}},
	{reasonText, []string{"alias", "contact", "comment", "note", "remark", "memo", "freetext", "notepad"}},
	{reasonPlace, []string{"location", "latitude", "longitude", "gps", "room", "street", "ssid"}},
	{reasonCommand, []string{"commandline", "cmdline", "args", "argv"}},
}

// harmlessEnds are last words that make a key tell of something else: how many
// there are, or of which kind.
var harmlessEnds = []string{"count", "type", "status", "state", "family", "size", "total", "mode", "length", "enabled", "version"}

// stems come before a word in keys that are written without any gap, such as
// sysContact in lower case.
var stems = []string{
	"sys", "if", "ent", "device", "client", "remote", "local", "src", "dst", "source", "destination", "peer", "host",
	"neighbor", "neighbour", "port", "user", "chassis", "server", "interface", "system", "phys",
}

// Sensitive tells whether a dimension's key says that its value should not leave
// a site without thought, and why: names of users, serial numbers, addresses,
// free text.
func Sensitive(key string) (reason string, ok bool) {
	words := keyWords(key)
	if len(words) == 0 || slices.Contains(harmlessEnds, words[len(words)-1]) {
		return "", false
	}
	for _, kind := range sensitiveWords {
		for i, word := range words {
			joined := ""
			if i > 0 {
				joined = words[i-1] + word // mac.address, serial_number
			}
			if slices.Contains(kind.words, joined) || meansAny(word, kind.words) {
				return kind.reason, true
			}
		}
	}
	return "", false
}

func meansAny(word string, list []string) bool {
	return slices.ContainsFunc(list, func(w string) bool {
		stem, found := strings.CutSuffix(strings.TrimSuffix(word, "s"), strings.TrimSuffix(w, "s"))
		return found && (stem == "" || slices.Contains(stems, stem))
	})
}

// keyWords splits a key at its separators and where a capital letter begins a
// word.
func keyWords(key string) []string {
	var words []string
	var word []rune
	flush := func() {
		if len(word) > 0 {
			words = append(words, strings.ToLower(string(word)))
		}
		word = nil
	}
	lower := false // the letter before
	for _, r := range key {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			flush()
		case unicode.IsUpper(r) && lower:
			flush()
			word = append(word, r)
		default:
			word = append(word, r)
		}
		lower = unicode.IsLower(r)
	}
	flush()
	return words
}
