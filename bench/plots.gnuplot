# Draw what bench/plot has taken out of results.json: gnuplot -e "data='FOLDER'; out='FOLDER'". A
# white background, for the pictures are also shown on dark pages.
set terminal svg size 760,420 fixed noenhanced font "sans-serif,13" background rgb "white"
set encoding utf8
set datafile missing "?"
set datafile separator tab
set grid ytics linecolor rgb "#d8d8d8" linetype 1 linewidth 1
set border 3 linecolor rgb "#606060"
set tics nomirror
set key outside right top samplen 2 spacing 1.2

# Ours stands out; whoever is compared keeps one colour in all pictures.
set style line 1 linecolor rgb "#c0392b" linewidth 3.5 pointtype 7 pointsize 0.9
set style line 2 linecolor rgb "#e67e22" linewidth 2.5 pointtype 7 pointsize 0.7
set style line 3 linecolor rgb "#e8b04a" linewidth 1.5 pointtype 7 pointsize 0.6
set style line 4 linecolor rgb "#2471a3" linewidth 1.5 pointtype 5 pointsize 0.6
set style line 5 linecolor rgb "#1e8449" linewidth 1.5 pointtype 9 pointsize 0.8
set style line 6 linecolor rgb "#7d3c98" linewidth 1.5 pointtype 11 pointsize 0.8
set style line 7 linecolor rgb "#5d6d7e" linewidth 1.5 pointtype 13 pointsize 0.8
set style line 8 linecolor rgb "#17a2a2" linewidth 1.5 pointtype 3 pointsize 0.6
set style line 9 linecolor rgb "#a0a0a0" linewidth 1.5 pointtype 4 pointsize 0.6 dashtype 2
set style line 10 linecolor rgb "#404040" linewidth 1 pointtype 1 pointsize 0.6 dashtype 3

set output out."/bench-fds.svg"
set title "Descriptors: a ring of socketpairs, 100 tokens (more is better)"
set xlabel "descriptors watched"
set ylabel "million events a second"
set logscale x 10
set xrange [80:12000]
set yrange [0:*]
set xtics ("100" 100, "1,000" 1000, "9,000" 9000)
plot for [i=2:11] data."/fds.tsv" using 1:(column(i) / 1e6) with linespoints linestyle (i - 1) \
    title columnheader(i)

set output out."/bench-timers.svg"
set title "Timers: give one of many a new, random deadline (less is better)"
set xlabel "timers pending"
set ylabel "nanoseconds"
set xrange [700:1500000]
set yrange [5:5000]
set logscale y 10
set xtics ("1,000" 1000, "10,000" 10000, "1,000,000" 1000000)
set style line 2 linecolor rgb "#c0392b" linewidth 2 pointtype 6 pointsize 0.8 dashtype 2
set style line 9 linecolor rgb "#2471a3" linewidth 1.5 pointtype 4 pointsize 0.6 dashtype 2
order = "1 2 4 9 5 6 7 8"
plot for [i=2:9] data."/timers.tsv" using 1:i with linespoints linestyle int(word(order, i - 1)) \
    title columnheader(i)

set output out."/bench-call.svg"
set title "A call to another thread's loop and one back, median (less is better)"
unset xlabel
set ylabel "microseconds"
unset logscale x
set xrange [-0.6:*]
set yrange [0.1:300]
set xtics autofreq scale 0
set style data histogram
set style histogram clustered gap 1
set style fill solid 0.85 noborder
set key below horizontal
plot data."/calls.tsv" using 2:xtic(1) linecolor rgb "#2471a3" title columnheader(2), \
    "" using 3 linecolor rgb "#1e8449" title columnheader(3), \
    "" using 4 linecolor rgb "#c0392b" title columnheader(4), \
    for [i=2:4] "" skip 1 using ($0 + (i - 3) * 0.25):i:(sprintf("%.3g", column(i))) \
    with labels offset 0,0.6 font ",10" notitle
