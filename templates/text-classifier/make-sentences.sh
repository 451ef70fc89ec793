#!/bin/sh
# Writes data/sentences.csv, 900 invented sentences about three topics, until your own take their place.
set -eu
mkdir -p data
awk 'function pick(list,   n, words) { n = split(list, words, " "); return words[1 + int(n * rand())] }
BEGIN {
  srand(1)
  names = "weather sport food"; split(names, topic)
  about["weather"] = "rain wind cloud storm sun snow fog thunder forecast cold warm sky degrees"
  about["sport"] = "match team goal race coach player score ball league season win lost train"
  about["food"] = "bread soup cook taste kitchen salt recipe oven dinner fresh sweet plate hungry"
  filler = "the a our today again very with and after before we they this was is had some about never always"
  print "text,topic"
  for (i = 0; i < 900; i++) {
    t = topic[1 + int(3 * rand())]; text = ""
    for (n = 6 + int(7 * rand()); n > 0; n--) {
      # Two words of five belong to the topic, one of twenty to any.
      chance = rand()
      word = chance < 0.4 ? pick(about[t]) : (chance < 0.45 ? pick(about[pick(names)]) : pick(filler))
      text = text (text == "" ? "" : " ") word
    }
    print text "," t
  }
}' > data/sentences.csv
