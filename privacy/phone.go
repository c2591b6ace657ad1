package privacy

import "strings"

// maxPhoneDigits is the longest international number (ITU-T E.164).
const maxPhoneDigits = 15

// internationalPhone returns where a number ends that begins with the plus at i, or 0. Between
// digits may stand a space, a dash, a dot, and one pair of brackets, which may hold the zero
// that is not dialled. Of several ends the last is taken with which the number has a length
// of its country.
func internationalPhone(s string, i int) int {
	if i > 0 && (isWord(s[i-1]) || s[i-1] == '+') {
		return 0
	}
	var digits [maxPhoneDigits]byte
	n, found, opened, joined := 0, 0, 0, true
	for i++; n < maxPhoneDigits && isDigit(at(s, i)); {
		digits[n] = s[i]
		n++
		if i++; isDigit(at(s, i)) {
			continue
		}
		if opened != 1 && ends(s, i) && dialled(digits[:n], joined) {
			found = i
		}
		joined = false
		switch c := at(s, i); c {
		case ')':
			if opened != 1 {
				return found
			}
			opened = 2
			i = afterBracket(s, i)
		case ' ', '-', '.':
			i++
		}
		if at(s, i) == '(' {
			if opened != 0 {
				return found
			}
			opened = 1
			if i++; strings.HasPrefix(s[i:], "0)") {
				opened = 2
				i = afterBracket(s, i+1)
			}
		}
	}
	return found
}

// afterBracket returns where the next digits may stand after the bracket at i.
func afterBracket(s string, i int) int {
	if i++; at(s, i) == ' ' || at(s, i) == '-' {
		i++
	}
	return i
}

// dialled reports whether the digits, country code first, can be a number. Digits joined
// without any separator must be ten at least: +2500000 is a quantity.
func dialled(digits []byte, joined bool) bool {
	n := len(digits)
	if n < 8 || joined && n < 10 || digits[0] == '0' {
		return false
	}
	code, size := 0, 0
	for size < 3 {
		code = code*10 + int(digits[size]-'0')
		size++
		if callingCode(code) {
			break
		}
		if size == 3 {
			return false
		}
	}
	lo, hi := 7, 12
	if r, ok := nationalLens[code]; ok {
		lo, hi = r[0], r[1]
	}
	if n-size < lo || n-size > hi {
		return false
	}
	return code != 1 || areaCode(string(digits[1:4])) && areaCode(string(digits[4:7]))
}

// nationalLens has the least and the greatest number of digits after some calling codes.
var nationalLens = map[int][2]int{
	1: {10, 10}, 7: {10, 10}, 30: {10, 10}, 31: {9, 9}, 32: {8, 9}, 33: {9, 9}, 34: {9, 9}, 39: {8, 11}, 41: {9, 9}, 44: {9, 10},
	45: {8, 8}, 46: {7, 10}, 47: {8, 8}, 48: {9, 9}, 49: {7, 12}, 52: {10, 10}, 55: {10, 11}, 61: {9, 9}, 65: {8, 8}, 81: {9, 10},
	82: {8, 10}, 86: {10, 11}, 91: {10, 10}, 351: {9, 9}, 353: {7, 9}, 354: {7, 7}, 358: {6, 11}, 420: {9, 9}, 421: {9, 9},
}

// callingCode reports whether the code is assigned (ITU-T E.164, list of 2016 and later).
func callingCode(code int) bool {
	switch {
	case code < 10:
		return code == 1 || code == 7
	case code < 100:
		return callingCodes2[code]
	}
	switch {
	case code >= 220 && code <= 258, code >= 260 && code <= 269, code >= 350 && code <= 359, code >= 370 && code <= 378,
		code >= 500 && code <= 509, code >= 590 && code <= 599, code >= 672 && code <= 692 && code != 684,
		code >= 960 && code <= 977 && code != 969, code >= 992 && code <= 998 && code != 997:
		return true
	}
	switch code {
	case 211, 212, 213, 216, 218, 290, 291, 297, 298, 299, 380, 381, 382, 383, 385, 386, 387, 389, 420, 421, 423, 670, 800, 808, 850,
		852, 853, 855, 856, 870, 878, 880, 881, 882, 883, 886, 888, 979:
		return true
	}
	return false
}

var callingCodes2 = func() (out [100]bool) {
	for _, code := range []int{20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58,
		60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98} {
		out[code] = true
	}
	return out
}()

// areaCode reports whether the digits can be an area or an exchange of North America: not
// below 200, and not one of the services 211 to 911.
func areaCode(s string) bool {
	return s[0] >= '2' && s[0] <= '9' && isDigit(s[1]) && isDigit(s[2]) && (s[1] != '1' || s[2] != '1')
}

// nationalPhone returns where a number in a national form ends that begins at i, with a digit
// or a bracket, or 0: those of North America, and those that begin with a zero.
func nationalPhone(s string, i int) int {
	if !begins(s, i) {
		return 0
	}
	digit := i
	if s[i] == '(' {
		digit++
	}
	if at(s, digit) == '0' {
		return zeroPhone(s, i)
	}
	return americanPhone(s, i)
}

// americanPhone: 415-555-2671, with dots or spaces for dashes, (415) 555-2671, and a 1 before.
func americanPhone(s string, i int) int {
	from, sep := i, byte(0)
	if s[i] == '1' && (at(s, i+1) == ' ' || at(s, i+1) == '-' || at(s, i+1) == '.') {
		i += 2
	}
	bracket := at(s, i) == '('
	if bracket {
		i++
	}
	if i+3 > len(s) || !areaCode(s[i:]) {
		return 0
	}
	i += 3
	if bracket {
		if at(s, i) != ')' {
			return 0
		}
		if i++; at(s, i) == ' ' {
			i++
		}
	} else {
		sep = at(s, i)
		if sep != ' ' && sep != '-' && sep != '.' {
			return 0
		}
		i++
	}
	if i+8 > len(s) || !areaCode(s[i:]) {
		return 0
	}
	between := s[i+3]
	if between != ' ' && between != '-' && between != '.' || sep != 0 && between != sep {
		return 0
	}
	if _, ok := decimal(s[i+4 : i+8]); !ok || !ends(s, i+8) || sep == ' ' && inColumn(s, from, i+8) {
		return 0
	}
	return i + 8
}

// inColumn reports whether groups with spaces between go on before or after: a row of numbers.
func inColumn(s string, from, to int) bool {
	return from >= 2 && s[from-1] == ' ' && isDigit(s[from-2]) || at(s, to) == ' ' && isDigit(at(s, to+1))
}

// zeroPhone: national numbers with a zero first, in groups as Britain, France, Germany,
// Australia and Japan write them, the first perhaps in brackets.
func zeroPhone(s string, i int) int {
	from, bracket, row := i, s[i] == '(', s[i] == '('
	if bracket {
		i++
	}
	if c := at(s, i+1); c < '1' || c > '9' {
		return 0
	}
	var sizes [5]int
	groups, sep := 0, byte(0)
	for groups < len(sizes) {
		start := i
		for i < len(s) && i-start <= 8 && isDigit(s[i]) {
			i++
		}
		if i == start || i-start > 8 {
			return 0
		}
		sizes[groups] = i - start
		groups++
		if groups == 1 && bracket {
			if at(s, i) != ')' {
				return 0
			}
			if i++; at(s, i) == ' ' {
				i++
			}
			bracket = false
			continue
		}
		c := at(s, i)
		if sep == 0 {
			sep = c
		}
		if c != sep || c != ' ' && c != '-' && c != '.' && c != '/' || !isDigit(at(s, i+1)) {
			break
		}
		i++
	}
	if groups < 2 || !zeroForm(sizes, groups) || !ends(s, i) || (row || sep == ' ') && inColumn(s, from, i) {
		return 0
	}
	return i
}

// zeroForm reports whether numbers are written in groups of these sizes.
func zeroForm(sizes [5]int, groups int) bool {
	switch groups {
	case 2:
		return sizes[0] >= 3 && sizes[0] <= 5 && sizes[1] >= 6 && sizes[0]+sizes[1] >= 10 && sizes[0]+sizes[1] <= 12
	case 3:
		switch [3]int(sizes[:3]) {
		case [3]int{3, 4, 4}, [3]int{4, 3, 4}, [3]int{5, 3, 3}, [3]int{2, 4, 4}, [3]int{4, 3, 3}:
			return true
		}
	case 5:
		return sizes == [5]int{2, 2, 2, 2, 2}
	}
	return false
}
