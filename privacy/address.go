package privacy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxLocalBytes = 64  // the local part of an e-mail address (RFC 5321)
	maxHostBytes  = 253 // a host name (RFC 1035)
	maxLabelBytes = 63  // one of its parts
)

// isNear reports whether the rune is a letter of a script with two bytes to a letter, which
// mail addresses may hold. Addresses in other scripts are not told from a text around them.
func isNear(r rune) bool { return r >= utf8.RuneSelf && r < 0x800 && unicode.IsLetter(r) }

// email returns the bounds of the address around the sign at i, or zeros.
func email(s string, i int) (start, end int) {
	start = i
	for start > 0 {
		n := 1
		if c := s[start-1]; c >= utf8.RuneSelf {
			var r rune
			if r, n = utf8.DecodeLastRuneInString(s[:start]); !isNear(r) {
				break
			}
		} else if !is(c, classLocal) {
			break
		}
		if start -= n; i-start > maxLocalBytes {
			return 0, 0
		}
	}
	for start < i && s[start] < utf8.RuneSelf && !isWord(s[start]) { // quotes, dots, dashes before it
		start++
	}
	local := s[start:i]
	if local == "" || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return 0, 0
	}
	end = hostEnd(s, i+1)
	if end == 0 || at(s, end) == '@' {
		return 0, 0
	}
	return start, end
}

// hostEnd returns where the host name ends that begins at i, or 0: two labels at least, the
// last of letters. Names of pictures for dense screens, such as icon@2x.png, are none.
func hostEnd(s string, i int) int {
	end := i
	for end < len(s) {
		n := 1
		if c := s[end]; c >= utf8.RuneSelf {
			var r rune
			if r, n = utf8.DecodeRuneInString(s[end:]); !isNear(r) {
				break
			}
		} else if !is(c, classHost) {
			break
		}
		if end += n; end-i > maxHostBytes {
			return 0
		}
	}
	if dots := strings.Index(s[i:end], ".."); dots >= 0 {
		end = i + dots
	}
	for end > i && (s[end-1] == '.' || s[end-1] == '-') {
		end--
	}
	host := s[i:end]
	if len(host) > 3 && isDigit(host[0]) && host[1] == 'x' && host[2] == '.' {
		return 0
	}
	labels, last := 0, ""
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > maxLabelBytes || label[0] == '-' || label[len(label)-1] == '-' {
			return 0
		}
		labels, last = labels+1, label
	}
	if labels < 2 || utf8.RuneCountInString(last) < 2 || !topLevel(last) {
		return 0
	}
	return end
}

// topLevel reports whether the label is of letters alone, or an encoded one.
func topLevel(label string) bool {
	if strings.HasPrefix(label, "xn--") {
		return true
	}
	for i := range len(label) {
		if c := label[i]; c < utf8.RuneSelf && (isDigit(c) || c == '-') {
			return false
		}
	}
	return true
}

// ipv6 looks at the run of hexadecimal digits, colons and dots around the colon at i, once.
func (f *finder) ipv6(i int) {
	s := f.s
	if i < f.colonsEnd {
		return
	}
	start, end := i, i
	for start > 0 && inIPv6(s[start-1]) {
		start--
	}
	for end < len(s) && inIPv6(s[end]) {
		end++
	}
	f.colonsEnd = end
	if end < len(s) && isWord(s[end]) {
		return
	}
	if start > 0 && isWord(s[start-1]) { // a word and a colon before it: node:2001:db8::1
		for is(s[start], classHex) {
			start++
		}
	}
	for start < end && s[start] == '.' {
		start++
	}
	if start < end && s[start] == ':' && at(s, start+1) != ':' {
		start++
	} else if start > 0 && start < end && s[start] == ':' && isWord(s[start-1]) {
		return // Name::of
	}
	if end > start && s[end-1] == '.' {
		end--
	}
	if end > start+1 && s[end-1] == ':' && s[end-2] != ':' {
		end--
	}
	if isIPv6(s[start:end]) {
		f.add(IPv6, start, end)
	}
}

func inIPv6(c byte) bool { return is(c, classHex) || c == ':' || c == '.' }

// maxIPv6Bytes is the longest form of an address.
const maxIPv6Bytes = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255")

// isIPv6 reports whether s is an address (RFC 4291) that is likely to be meant as one: with a
// decimal digit; not eight pairs of digits, as hashes are written; and a single group is the
// loopback's, or has three digits at least.
func isIPv6(s string) bool {
	if len(s) > maxIPv6Bytes || !strings.ContainsAny(s, "0123456789") {
		return false
	}
	head, tail, gap := strings.Cut(s, "::")
	before, after := groups6(head, !gap), groups6(tail, true)
	n := before + after
	switch {
	case before < 0 || after < 0 || gap && n > 7 || !gap && n != 8:
		return false
	case n == 1:
		return len(s) >= len("100::") || s == "::1"
	}
	return n < 8 || !pairs(s)
}

// groups6 counts the groups in a part of an address, or returns -1. The last of the
// address may be an address of version 4, which counts twice.
func groups6(s string, last bool) int {
	const none = -1
	n := 0
	for s != "" {
		group, rest, more := strings.Cut(s, ":")
		if more && rest == "" {
			return none
		}
		if last && !more && strings.IndexByte(group, '.') > 0 {
			if !isDigit(group[0]) || ipv4(group, 0) != len(group) {
				return none
			}
			return n + 2
		}
		if end := runEnd(group, 0, classHex); end == 0 || end > 4 || end < len(group) {
			return none
		}
		n, s = n+1, rest
	}
	return n
}

// pairs reports whether s is eight groups of two digits.
func pairs(s string) bool {
	for i := 2; i < len(s); i += 3 {
		if s[i] != ':' {
			return false
		}
	}
	return len(s) == len("00:11:22:33:44:55:66:77")
}
