package privacy

import "strings"

// candidate is a match of one detector. Candidates may overlap: text.go chooses.
type candidate struct {
	detector   Detector
	start, end int
}

// finder looks through one text, once, from left to right. It stops at anchors, bytes with
// which or around which a match can begin, and asks the matchers there; bytes in between cost
// a look at a table.
type finder struct {
	s   string
	on  uint32 // the detectors that look
	out []candidate

	// How far earlier calls have looked (P3).
	colonsEnd int    // the end of the last run of an IPv6 address
	bareEnd   int    // the end of the last value without quotes
	quoteEnd  [3]int // where the next quote of each kind stands, or its line ends
}

// find appends the candidates of the detectors in s to dst. Marks are skipped.
func find(dst []candidate, s string, on uint32) []candidate {
	f := finder{s: s, on: on, out: dst}
	for i := 0; i < len(s); {
		switch anchors[s[i]] {
		case anchorNone:
			i++
		case anchorDigit:
			i = f.digits(i)
		case anchorUpper:
			i = f.upper(i)
		case anchorLower:
			i = f.lower(i)
		default:
			i = f.sign(i)
		}
	}
	return f.out
}

// add appends a candidate, unless its detector is off or it ends before it begins: matchers
// say 0 where nothing matches.
func (f *finder) add(d Detector, start, end int) {
	if end > start && f.on&(1<<d) != 0 {
		f.out = append(f.out, candidate{d, start, end})
	}
}

// digits asks the matchers that begin with a digit, and goes on behind the digits.
func (f *finder) digits(i int) int {
	s := f.s
	end := i + 1
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	if i > 0 && isWord(s[i-1]) {
		return end
	}
	switch n := end - i; {
	case n >= 12 && n <= 19 || n == 4 && end < len(s):
		f.add(Card, i, card(s, i, end))
	case n <= 3 && end < len(s):
		f.add(IPv4, i, ipv4(s, i))
		if n == 3 {
			f.add(SSN, i, ssn(s, i))
		}
	}
	if end-i <= 5 {
		f.add(Phone, i, nationalPhone(s, i))
	}
	return end
}

// upper asks the matchers that begin with a capital letter.
func (f *finder) upper(i int) int {
	s := f.s
	if i > 0 && isWord(s[i-1]) {
		return i + 1
	}
	if i+4 <= len(s) && isDigit(s[i+2]) {
		f.add(IBAN, i, iban(s, i))
	}
	if s[i] == 'A' {
		f.add(AWS, i, awsKey(s, i))
	}
	return i + 1
}

// lower asks the matchers that begin with one of the letters of a prefix.
func (f *finder) lower(i int) int {
	s := f.s
	if i > 0 && isWord(s[i-1]) || i+4 > len(s) {
		return i + 1
	}
	switch s[i] {
	case 'e':
		if s[i+1] == 'y' {
			f.add(JWT, i, jwt(s, i))
		}
	case 'g':
		if s[i+1] == 'h' || s[i+1] == 'i' {
			f.add(GitHub, i, gitHubToken(s, i))
		}
	case 's':
		if s[i+1] == 'k' && s[i+2] == '-' {
			d, end := modelKey(s, i)
			f.add(d, i, end)
		}
	case 'x':
		f.add(Slack, i, slackToken(s, i))
	}
	return i + 1
}

// sign asks the matchers that begin with or around punctuation. It skips marks.
func (f *finder) sign(i int) int {
	s := f.s
	switch s[i] {
	case '[':
		if m, ok := markAt(s, i); ok {
			return m.end
		}
	case '@':
		if f.on&(1<<Email) != 0 {
			start, end := email(s, i)
			f.add(Email, start, end)
		}
	case '+':
		f.add(Phone, i, internationalPhone(s, i))
	case '(':
		f.add(Phone, i, nationalPhone(s, i))
	case '-':
		if strings.HasPrefix(s[i:], pemBegin) {
			f.add(PrivateKey, i, privateKey(s, i))
		}
	case ':':
		if f.on&(1<<IPv6) != 0 {
			f.ipv6(i)
		}
		f.assignment(i)
	case '=':
		f.assignment(i)
	}
	return i + 1
}

// Kinds of anchors.
const (
	anchorNone = iota
	anchorDigit
	anchorUpper
	anchorLower
	anchorSign
)

var anchors = func() (kinds [256]uint8) {
	for c := '0'; c <= '9'; c++ {
		kinds[c] = anchorDigit
	}
	for c := 'A'; c <= 'Z'; c++ {
		kinds[c] = anchorUpper
	}
	for _, c := range "egsx" {
		kinds[c] = anchorLower
	}
	for _, c := range "[@+(-:=" {
		kinds[c] = anchorSign
	}
	return kinds
}()

// Classes of bytes.
const (
	classWord  = 1 << iota // letters, digits, underscore
	classToken             // those of base64url: words and dashes
	classBase              // letters and digits in capitals: IBAN
	classHex               // hexadecimal digits
	classLocal             // the local part of an e-mail address
	classHost              // host names
	classValue             // a value without quotes
	classJoint             // signs that join a number to something before it
)

var classes = func() (of [256]uint8) {
	add := func(class uint8, from, to byte) {
		for c := int(from); c <= int(to); c++ {
			of[c] |= class
		}
	}
	add(classValue, '!', 0xff)
	for _, c := range []byte("[]{}()<>\"'`,;&\x7f") {
		of[c] &^= classValue
	}
	const letter = classWord | classToken | classLocal | classHost
	add(letter|classBase|classHex, '0', '9')
	add(letter|classBase, 'A', 'Z')
	add(letter, 'a', 'z')
	add(classHex, 'A', 'F')
	add(classHex, 'a', 'f')
	add(classWord|classToken|classLocal, '_', '_')
	add(classToken|classLocal|classHost|classJoint, '-', '-')
	add(classHost|classLocal|classJoint, '.', '.')
	for _, c := range []byte("%+'") {
		of[c] |= classLocal
	}
	for _, c := range []byte("/+#$~") {
		of[c] |= classJoint
	}
	return of
}()

func isDigit(c byte) bool         { return c-'0' <= 9 }
func isUpper(c byte) bool         { return c-'A' <= 25 }
func isWord(c byte) bool          { return classes[c]&classWord != 0 }
func is(c byte, class uint8) bool { return classes[c]&class != 0 }
func at(s string, i int) (c byte) { // the byte at i, 0 outside
	if uint(i) < uint(len(s)) {
		c = s[i]
	}
	return c
}

// runEnd returns where the run of bytes of the class that holds i ends.
func runEnd(s string, i int, class uint8) int {
	for i < len(s) && is(s[i], class) {
		i++
	}
	return i
}

// begins reports whether a number can begin at i: nothing joins it to what stands before.
func begins(s string, i int) bool {
	return i == 0 || !is(s[i-1], classWord|classJoint)
}

// ends reports whether a number can end at i: what follows does not go on with it. A dot
// before anything but a digit ends a sentence.
func ends(s string, i int) bool {
	if i >= len(s) {
		return true
	}
	switch c := s[i]; {
	case isWord(c):
		return false
	case c == '.':
		return !isDigit(at(s, i+1))
	case is(c, classJoint):
		return i+1 == len(s) || !isWord(s[i+1])
	}
	return true
}
