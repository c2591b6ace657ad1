package privacy

import "strings"

// maxNameBytes is how far before a sign the name of what is assigned is looked for.
const maxNameBytes = 48

// assignment looks for a name before the colon or equals sign at i, and if it is sensitive for
// the value behind.
func (f *finder) assignment(i int) {
	if f.on&(1<<Assignment) == 0 {
		return
	}
	s := f.s
	end := i
	prev, next := at(s, i-1), at(s, i+1)
	if s[i] == ':' {
		if prev == ':' || next == ':' || next == '=' || next == '/' {
			return
		}
	} else {
		if next == '=' || next == '~' || strings.IndexByte("=!<>", prev) >= 0 {
			return
		}
		if prev == ':' || prev == '+' {
			end--
		}
	}
	name := nameBefore(s, end)
	if name == "" {
		return
	}
	if kind := assigned(name); kind != namePlain {
		f.assignedValue(i, name, kind)
	}
}

// nameBefore returns the words that end at the byte before end, or before a quote or spaces
// there.
func nameBefore(s string, end int) string {
	floor := max(0, end-maxNameBytes)
	for n := 0; n < 2 && end > floor && s[end-1] == ' '; n++ {
		end--
	}
	if end > floor && isQuote(s[end-1]) {
		if end--; end > floor && s[end-1] == '\\' {
			end--
		}
	}
	start := end
	if end > floor && isDigit(s[end-1]) {
		return "" // the last word is a number, which says nothing
	}
	for start > floor {
		c := s[start-1]
		if !isWord(c) && c != '-' && c != '.' && (c != ' ' || start == end || s[start] == ' ') {
			break
		}
		start--
	}
	return s[start:end]
}

func isQuote(c byte) bool { return quoteIndex(c) >= 0 }

func quoteIndex(c byte) int { return strings.IndexByte("\"'`", c) }

// assignedValue adds the value behind the sign at i, if it is likely to be one: behind quotes
// up to the next one in the line, else up to a space, comma, semicolon, ampersand, quote or
// bracket.
func (f *finder) assignedValue(i int, name string, kind nameKind) {
	s := f.s
	from := i + 1
	if s[i] == '=' && at(s, from) == '>' {
		from++
	}
	spaced := at(s, i-1) == ' ' || at(s, from) == ' '
	from = f.skipSpaces(from)
	escaped := false
	if at(s, from) == '\\' && isQuote(at(s, from+1)) {
		escaped = true
		from++
	}
	quote := quoteIndex(at(s, from))
	if quote >= 0 {
		from++
	}
	scheme := authScheme(s[from:])
	from += scheme
	if m, ok := markAt(s, from); ok {
		if c := at(s, m.end); quote < 0 || escaped || quoteIndex(c) == quote {
			return
		}
	}
	if quote >= 0 && !escaped {
		if end := f.closing(quote, from); end > from && likelyValue(s[from:end], kind) {
			f.add(Assignment, from, end)
			return
		} else if end >= from {
			return
		}
	}
	end := f.bare(from)
	if end <= from {
		return
	}
	value := s[from:end]
	if !likelyValue(value, kind) || value == name {
		return
	}
	if (s[i] == ':' || spaced) && scheme == 0 && !escaped && kind == namePassword && !hasSign(value) {
		return
	}
	if c := at(s, end); (c == '(' || c == '[') && isCode(value) {
		return
	}
	f.add(Assignment, from, end)
}

// skipSpaces goes over a few spaces.
func (f *finder) skipSpaces(i int) int {
	for n := 0; n < 4 && (at(f.s, i) == ' ' || at(f.s, i) == '\t'); n++ {
		i++
	}
	return i
}

// authScheme returns the length of the scheme of an Authorization header that s begins with.
func authScheme(s string) int {
	for _, scheme := range []string{"bearer ", "basic ", "token "} {
		if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
			return len(scheme)
		}
	}
	return 0
}

// closing returns where the next quote of the kind stands at or behind from, or -1 where the
// line ends first. A quote behind a backslash does not close.
func (f *finder) closing(quote, from int) int {
	s := f.s
	if f.quoteEnd[quote] < from {
		i := from
		for i < len(s) && s[i] != '\n' && (quoteIndex(s[i]) != quote || i > from && s[i-1] == '\\') {
			i++
		}
		f.quoteEnd[quote] = i
	}
	if end := f.quoteEnd[quote]; end < len(s) && s[end] != '\n' {
		return end
	}
	return -1
}

// bare returns where the value without quotes ends that begins at from, signs that end a
// sentence not counted.
func (f *finder) bare(from int) int {
	if f.bareEnd <= from {
		f.bareEnd = runEnd(f.s, from, classValue)
	}
	end := f.bareEnd
	for n := 0; n < 3 && end > from && strings.IndexByte(".:\\", f.s[end-1]) >= 0; n++ {
		end--
	}
	return end
}

// nothings are values that say that there is none, or what kind it is.
var nothings = map[string]bool{
	"true": true, "false": true, "null": true, "none": true, "undefined": true, "required": true, "optional": true, "string": true,
	"empty": true, "unset": true, "redacted": true, "hidden": true, "changeme": true, "password": true, "secret": true, "token": true,
	"text": true,
}

// likelyValue reports whether the value of a name of this kind is likely to be a secret: long
// enough, no placeholder, and what people do not choose has letters and digits.
func likelyValue(value string, kind nameKind) bool {
	if len(value) < 4 || strings.IndexByte("$<{%*", value[0]) >= 0 || len(value) <= 9 && nothings[value] {
		return false
	}
	head := value[:min(len(value), lookBytes)]
	var letters, digits, other bool
	for i := range len(head) {
		letters = letters || isLetter(head[i])
		digits = digits || isDigit(head[i])
		other = other || head[i] != head[0]
	}
	if kind == namePassword {
		return other
	}
	return len(value) >= 8 && letters && digits
}

// hasSign reports whether the head of the value has a byte other than letters and what joins
// words.
func hasSign(value string) bool {
	head := value[:min(len(value), lookBytes)]
	for i := range len(head) {
		if !isLetter(head[i]) && strings.IndexByte("._-/", head[i]) < 0 {
			return true
		}
	}
	return false
}

// isCode reports whether the head of the value is names joined by dots.
func isCode(value string) bool {
	head := value[:min(len(value), lookBytes)]
	for i := range len(head) {
		if !isWord(head[i]) && head[i] != '.' {
			return false
		}
	}
	return true
}
