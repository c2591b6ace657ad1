package privacy

// ibanLens has the length of the account numbers of each country, by the two letters of its
// code (ISO 13616, the registry of SWIFT).
var ibanLens = func() (lens [26 * 26]uint8) {
	for code, n := range map[string]uint8{
		"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
		"CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
		"FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
		"IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
		"LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
		"NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
		"SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
		"UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
	} {
		lens[int(code[0]-'A')*26+int(code[1]-'A')] = n
	}
	return lens
}()

// iban returns where an account number ends that begins at i with a capital letter, or 0: in
// one piece, or in groups of four with a space between, the check digits right (ISO 7064, mod
// 97-10). Capital letters only.
func iban(s string, i int) int {
	if i > 0 && s[i-1] == '-' || !isUpper(s[i+1]) || !isDigit(s[i+2]) || !isDigit(s[i+3]) {
		return 0
	}
	want := int(ibanLens[int(s[i]-'A')*26+int(s[i+1]-'A')])
	if want == 0 {
		return 0
	}
	spaced := at(s, i+4) == ' '
	rest, head, n, end := 0, 0, 0, i
	for ; n < want; n++ {
		if spaced && n > 0 && n%4 == 0 {
			if at(s, end) != ' ' {
				return 0
			}
			end++
		}
		c := at(s, end)
		if !is(c, classBase) {
			return 0
		}
		if end++; n < 4 { // country and check digits count last
			head = appendDigit(head, c)
		} else {
			rest = appendDigit(rest, c) % 97
		}
	}
	// head is two letters of two digits each and two digits: six digits.
	if !ends(s, end) || (rest*1_000_000+head)%97 != 1 {
		return 0
	}
	return end
}

// appendDigit writes a digit, or a letter as the two digits of 10 to 35, behind a number.
func appendDigit(n int, c byte) int {
	if isDigit(c) {
		return n*10 + int(c-'0')
	}
	return n*100 + int(c-'A') + 10
}
