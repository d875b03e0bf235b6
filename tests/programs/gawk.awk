# Arrays of words, fields, string building and sorting, SCALE times over.
BEGIN {
    state = 12345
    for (turn = 1; turn <= scale; turn++) {
        delete count
        delete lines
        text = ""
        for (i = 1; i <= 20000; i++) {
            state = (state * 48271) % 2147483647
            word = sprintf("%x", state)
            for (k = state % 5; k > 0; k--)
                word = word "-" k
            count[substr(word, length(word) - 3)]++
            lines[i] = word " " i % 7
            if (i % 10 == 0)
                text = text word " "
        }
        changed = gsub(/-[12]/, "+", text)
        n = split(text, parts, /[+ ]/)
        m = asort(lines)
        keys = asorti(count, sorted)
        total = 0
        for (i = 1; i <= m; i++) {
            $0 = lines[i]
            total = (total * 31 + length($1) + $2) % 1000000007
        }
        print turn, keys, sorted[1], sorted[keys], changed, n, toupper(lines[1]), total
    }
}
