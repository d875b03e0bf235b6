# Hashes of arrays, string building, regular expressions and sorting, SCALE
# times over.
use strict;
use warnings;

my $scale = shift;
my $state = 12345;
my $total = 0;
for my $turn (1 .. $scale) {
    my (%lines, @words);
    for (1 .. 30000) {
        $state = ($state * 1103515245 + 12345) % 2**31;
        push @words, sprintf("%x", $state) . "xy" x ($state % 13);
    }
    for my $word (@words) {
        push @{ $lines{substr $word, -5} }, { word => $word, length => length $word };
    }
    my $text = join "\n", @words;
    my $found = () = $text =~ /\d+(?:xy)+$/mg;
    (my $changed = $text) =~ s/xy/-/g;
    for my $key (sort keys %lines) {
        my @sorted = sort { $a->{word} cmp $b->{word} } @{ $lines{$key} };
        $total = ($total * 31 + $sorted[0]{length} + @sorted) % 1000000007;
    }
    print join(" ", $turn, scalar(keys %lines), $found, length $changed, $total), "\n";
}
