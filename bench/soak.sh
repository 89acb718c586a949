# A soak: hark under mixed load for $1 minutes, with forks, map churn, random signals and pauses; every event counted
# exactly, memory flat. Runs in a guest by `cargo xtask soak`; ends with "soak passed" or says what is wrong.

minutes=$1
prog=$(command -v hark-prog)
out=/tmp/soak.out
err=/tmp/soak.err

hark -q -o $out -e '
	uprobe:'$prog':add { @adds[arg0] = count(); @total++; }
	uprobe:'$prog':greet { @names[str(arg0, 300)]++; }
	uretprobe:'$prog':greet { delete(@names, "churn"); @h = hist(retval & 0xff); }
	kprobe:vfs_read { @reads[comm] = count(); }
	tracepoint:sched:sched_process_fork { @forks = count(); }
	tracepoint:raw_syscalls:sys_enter /comm == "hark-prog"/ { printf("call %d\n", args.id); }
	profile:hz:49 { @cpus[cpu] = count(); }
	self:signal:SIGUSR1 { @signals++; }
	interval:ms:500 { print(@adds); clear(@adds); print(@names, 3); clear(@names); }
	interval:s:5 { clear(@reads); clear(@cpus); zero(@h); }
' 2>$err &
hark=$!
sleep 3
kill -0 $hark || { cat $err; echo "soak failed: hark did not start"; exit 1; }

rss() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' /proc/$hark/status; }

begun=$(cut -d. -f1 /proc/uptime)
end=$((begun + minutes * 60))
adds=0
rounds=0
first=0
most=0
while [ "$(cut -d. -f1 /proc/uptime)" -lt $end ]; do
	rounds=$((rounds + 1))
	work=
	for key in 1 2 3; do
		hark-prog repeat 200 add $key $rounds >/dev/null &
		work="$work $!"
	done
	hark-prog name "churn$rounds" greet "churn$((rounds % 977))" greet churn fork >/dev/null &
	# Not hark itself, which ends only when it is told to.
	# shellcheck disable=SC2086
	wait $work $!
	adds=$((adds + 600))
	case $((rounds % 7)) in
	1) kill -USR1 $hark ;;
	3) kill -WINCH $hark ;;
	5) kill -STOP $hark; sleep 1; kill -CONT $hark ;;
	esac
	now=$(rss)
	[ -n "$now" ] || { tail -5 $err; echo "soak failed: hark is gone"; exit 1; }
	# What is allocated once is there after the first rounds.
	[ $rounds -le 20 ] && first=$now
	[ "$now" -gt $most ] && most=$now
done

kill -INT $hark
wait $hark
status=$?
counted=$(awk -F'[]:] *' '/^@adds\[/ { n += $NF } END { print n + 0 }' $out)
total=$(awk '/^@total: / { print $2 }' $out)
echo "soak: $rounds rounds, $adds events made, $counted counted by print and clear, $total by ++; memory ${first} KiB, at most ${most} KiB; status $status"
echo "soak: said: $(sort $err | uniq -c | head -5 | tr '\n' ';')"
[ "$status" = 0 ] || { echo "soak failed: status $status"; exit 1; }
[ "$counted" = "$adds" ] || { echo "soak failed: print and clear count $counted of $adds"; exit 1; }
[ "$total" = "$adds" ] || { echo "soak failed: ++ counts $total of $adds"; exit 1; }
[ "$most" -le $((first + first / 4 + 1024)) ] || { echo "soak failed: memory grows from $first to $most KiB"; exit 1; }
echo "soak passed"
