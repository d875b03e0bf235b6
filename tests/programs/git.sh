# A repository of 100 * SCALE files in three commits, packed and looked at.
#
#     git.sh SCALE
set -eu
scale=$1

export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org
export GIT_COMMITTER_NAME=A GIT_COMMITTER_EMAIL=a@example.org
export GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

# One stream makes all commits: 100 * SCALE files, then a third of them changed,
# then a fifth.
stream() {
    awk -v files=$((100 * scale)) 'BEGIN {
        for (commit = 1; commit <= 3; commit++) {
            printf "commit refs/heads/main\n"
            printf "committer A <a@example.org> %d +0000\n", 1700000000 + commit
            printf "data 7\nchange%d\n", commit
            for (f = 0; f < files; f++) {
                if (f % (2 * commit - 1) != 0) continue
                text = ""
                for (l = 0; l < 60; l++)
                    text = text "line " l " of file " f % 50 " in " (l % 7 == f % 7 ? commit : 0) "\n"
                printf "M 100644 inline d%d/f%d.txt\n", f % 23, f
                printf "data %d\n%s\n", length(text), text
            }
        }
    }'
}

git init -q -b main
stream | git fast-import --quiet
git reset -q --hard
git repack -q -a -d -f --depth=50 --window=50
git fsck --no-progress
git rev-parse HEAD
git log --stat --format='%H %s' | tail -n 40
git log -p --format=%s -- d3 | cksum
git diff HEAD~2 | cksum
git grep -c 'line 7 ' -- d1 d2 | sort
git blame d0/f0.txt | tail -n 3
for round in $(seq "$scale"); do
    echo "round $round" >>d0/f0.txt
    git add -A
    git commit -q -m "round $round"
done
git rev-parse HEAD
git status --short
git archive HEAD | cksum
