#!/bin/sh
# Counts words: data/sentences.csv (text,topic) becomes data/words.csv, a column for each of the commonest words. The topic is
# what stands behind the last comma of a line.
set -eu
export LC_ALL=C
# A parameter: the number behind its name in the JSON file that MLP_PARAMS names.
param() { tr -d ' \n{}' < "$MLP_PARAMS" | tr ',' '\n' | sed -n "s/^\"$1\"://p"; }

mkdir -p build data
# Bytes above 127 are letters of other alphabets; only those of ASCII become small ones.
tail -n +2 data/sentences.csv | sed 's/,[^,]*$//' | tr 'A-Z' 'a-z' | tr -cs 'a-z0-9\200-\377' '\n' | sed '/^$/d' |
  sort | uniq -c | sort -k1,1nr -k2,2 | awk -v most="$(param words)" 'NR <= most { print $2 }' > build/vocabulary.txt
awk '
FNR == NR { word[n++] = $1; next }
FNR == 1 { for (i = 0; i < n; i++) printf "word_%s,", word[i]; print "topic"; next }
{
  topic = $0; sub(/^.*,/, "", topic)
  text = tolower(substr($0, 1, length($0) - length(topic) - 1))
  gsub(/[^a-z0-9\200-\377]+/, " ", text)
  split("", count); all = split(text, found, " ")
  for (i = 1; i <= all; i++) count[found[i]]++
  for (i = 0; i < n; i++) printf "%d,", count[word[i]]
  print topic
}' build/vocabulary.txt data/sentences.csv > data/words.csv
