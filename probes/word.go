package probes

// Word is a text that may also be written as a number, such as the address 0x76 of
// a part on a bus.
type Word string

// UnmarshalText takes the text as it is.
func (w *Word) UnmarshalText(b []byte) error {
	*w = Word(b)
	return nil
}

// MarshalText gives the text.
func (w Word) MarshalText() ([]byte, error) { return []byte(w), nil }

// OrNumber is implemented by texts that may also be written as a number, which a
// schema tells.
type OrNumber interface{ OrNumber() }

// OrNumber implements the interface.
func (Word) OrNumber() {}
