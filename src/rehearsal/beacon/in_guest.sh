#!/bin/sh
# Beacon of a canary, started by the cloud's user data. Installs itself, so that it comes back after a reboot, and runs
# the Python beacon if the guest has Python, else a plainer one made of the shell, dd and nc.
# The lines with @ are filled in where the canary is made.
home=/var/lib/rehearse
echo_port=@ECHO@ facts_port=@FACTS@ beat_ms=@BEAT_MS@ write_ms=@WRITE_MS@ pause_ms=@PAUSE_MS@ stall_ms=@STALL_MS@
peer_ms=@PEER_MS@ gap_ms=@GAP_MS@ metadata_ms=@METADATA_MS@ peers="@PEERS@"
kind=@KIND@
PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin:$PATH
say() { echo "beacon: $*"; }
mkdir -p $home 2>/dev/null || { home=/tmp/rehearse && mkdir -p $home; }
run=/run/rehearse
mkdir -p $run 2>/dev/null || { run=/tmp/rehearse-run && mkdir -p $run; }
stamp() { read -r now _ </proc/uptime && now=${now%.*}${now#*.} && now=$((now * 10)); }
resolver() { sed -n '/^nameserver 127\./d;s/^nameserver *//p' /run/systemd/resolve/resolv.conf /etc/resolv.conf 2>/dev/null | head -n 1; }
case $1 in
facts)
	# What the plain beacon tells: one line, then the connection ends.
	read -r up _ </proc/uptime
	read -r boot </proc/sys/kernel/random/boot_id
	# To read a file that is not there would end this shell.
	for part in beats writes metadata dns; do [ -r $run/$part ] && . $run/$part; done
	dd if=$home/data of=/dev/null bs=4096 iflag=direct 2>/dev/null && flag=iflag=direct
	sum=$(dd if=$home/data bs=4096 $flag 2>/dev/null | sha256sum | cut -d' ' -f1)
	cat <<END
{"beacon":1,"kind":"shell","boot_id":"$boot","uptime_s":$up,"hostname":"$(hostname)","boots":$(cat $home/boots),"udp":false,"beat_ms":${beat:-0},"beats":${beats:-0},"pause_limit_ms":$pause_ms,"pauses":${pauses:-0},"pause_total_ms":${pause_total:-0},"pause_longest_ms":${pause_longest:-0},"pause_list":[],"write_ms":${write:-0},"writes":${writes:-0},"write_errors":${errors:-0},"stall_limit_ms":$stall_ms,"stalls":${stalls:-0},"stall_total_ms":${stall_total:-0},"stall_longest_ms":${stall_longest:-0},"stall_list":[],"direct":${direct:-false},"file_sha256":"$sum","file_sha256_made":"$(cat $home/data.sha256)","message":"","peers":[],"ask_ms":$metadata_ms,"asks":{"metadata":{"asked":${metadata_asked:-0},"ok":${metadata_ok:-0},"runs":${metadata_runs:-0},"longest_ms":${metadata_longest:-0},"failing_ms":${metadata_failing:-0},"what":"/openstack/latest/meta_data.json"},"dns":{"asked":${dns_asked:-0},"ok":${dns_ok:-0},"runs":${dns_runs:-0},"longest_ms":${dns_longest:-0},"failing_ms":${dns_failing:-0},"what":"$(resolver)"}}}
END
	exit
	;;
beat)
	# /proc/uptime has hundredths of a second. The pipe never says anything: reading it is a sleep without a process.
	mkfifo $run/silence 2>/dev/null
	exec 9<>$run/silence
	beat=$beat_ms
	nap() { read -r -t "$nap_s" _ <&9; }
	nap_s=$((beat / 1000)).$(printf %03d $((beat % 1000)))
	(nap) 2>&1 | grep -q . && beat=1000 && nap() { sleep 1; }
	beats=0 pauses=0 pause_total=0 pause_longest=0
	stamp
	while :; do
		before=$now
		nap
		stamp
		beats=$((beats + 1)) late=$((now - before - beat))
		[ $late -gt $pause_longest ] && pause_longest=$late
		[ $late -ge $pause_ms ] && pauses=$((pauses + 1)) && pause_total=$((pause_total + late))
		[ $((beats % 25)) = 0 ] || [ $late -ge $pause_ms ] &&
			echo "beat=$beat beats=$beats pauses=$pauses pause_total=$pause_total pause_longest=$pause_longest" >$run/beats
	done
	;;
write)
	write=$write_ms
	[ $write -lt 1000 ] && write=1000
	how=oflag=direct direct=true
	dd if=/dev/zero of=$home/scratch bs=4096 count=1 $how 2>/dev/null || { how=conv=fsync direct=false; }
	writes=0 errors=0 stalls=0 stall_total=0 stall_longest=0
	while :; do
		stamp
		before=$now
		dd if=/dev/zero of=$home/scratch bs=4096 count=1 $how 2>/dev/null || errors=$((errors + 1))
		stamp
		writes=$((writes + 1)) took=$((now - before))
		[ $took -gt $stall_longest ] && stall_longest=$took
		[ $took -ge $stall_ms ] && stalls=$((stalls + 1)) && stall_total=$((stall_total + took))
		echo "write=$write writes=$writes errors=$errors stalls=$stalls stall_total=$stall_total stall_longest=$stall_longest direct=$direct" >$run/writes
		sleep $((write / 1000))
	done
	;;
ask)
	# Metadata, or a name at the resolver that DHCP gave; that there is no such name is an answer, too. What failed in a
	# row after the first good answer is a run, as long as from its first bad question to the next good answer.
	ask_metadata() {
		from=http://169.254.169.254/openstack/latest/meta_data.json
		{ timeout 5 wget -q -O - $from || timeout 5 curl -sf $from; } 2>/dev/null | grep -q '"uuid"'
	}
	ask_dns() {
		case $(timeout 5 nslookup "$(hostname)" "$(resolver)" 2>&1) in
		*Name:* | *NXDOMAIN* | *"No answer"*) ;;
		*) false ;;
		esac
	}
	asked=0 ok=0 runs=0 longest=0 failing=0 first=
	while [ "$metadata_ms" -gt 0 ]; do
		sleep $(((metadata_ms + 999) / 1000))
		[ "$2" = dns ] && { [ -z "$(resolver)" ] || ! command -v nslookup >/dev/null; } && continue
		stamp
		began=$now good=
		ask_$2 && good=1
		stamp
		asked=$((asked + 1)) failing=0
		if [ $good ]; then
			ok=$((ok + 1))
			[ $first ] && runs=$((runs + 1)) && [ $((now - first)) -gt $longest ] && longest=$((now - first))
			first=
		elif [ $ok -gt 0 ]; then
			first=${first:-$began} failing=$((now - ${first:-$began}))
		fi
		echo "$2_asked=$asked $2_ok=$ok $2_runs=$runs $2_longest=$longest $2_failing=$failing" >$run/$2
	done
	;;
serve)
	# Whichever of them this guest has: many clients at once, a program for each.
	while :; do
		if command -v tcpsvd >/dev/null; then tcpsvd -E 0 "$2" "$3"
		else nc -ll -p "$2" -e "$3" || nc -lk -p "$2" -e "$3"; fi
		sleep 1
	done
	;;
esac

# Installation: at the first boot from user data, at later boots from cloud-init's per-boot scripts.
again=/var/lib/cloud/scripts/per-boot
if [ "$1" != boot ]; then
	cat "$0" >$home/beacon && chmod 700 $home/beacon
	printf '#!/bin/sh\nexec %s facts\n' $home/beacon >$home/facts && chmod 700 $home/facts
	printf '#!/bin/sh\nexec cat\n' >$home/echo && chmod 700 $home/echo
	[ -d $again ] && printf '#!/bin/sh\nexec %s boot\n' $home/beacon >$again/rehearse-beacon && chmod 700 $again/rehearse-beacon
	[ -s $home/data ] || {
		dd if=/dev/urandom of=$home/data bs=4096 count=16 2>/dev/null
		sha256sum <$home/data | cut -d' ' -f1 >$home/data.sha256
	}
	cat >$home/beacon.py <<'END OF PROGRAM'
@PROGRAM@
END OF PROGRAM
fi
echo $(($(cat $home/boots 2>/dev/null || echo 0) + 1)) >$home/boots
# A guest may be cut off at any moment, and must come back with all of this.
sync
cd / || exit 1
python=
[ $kind = shell ] || for candidate in python3 /usr/libexec/platform-python; do
	command -v $candidate >/dev/null && python=$candidate && break
done
if [ -n "$python" ]; then
	# shellcheck disable=SC2086
	setsid $python -I -S $home/beacon.py $home $echo_port $facts_port $beat_ms $write_ms $pause_ms $stall_ms $peer_ms $gap_ms $metadata_ms $peers </dev/null >$home/log 2>&1 &
	say "python on ports $echo_port and $facts_port, boot $(cat /proc/sys/kernel/random/boot_id)"
else
	for part in beat write "ask metadata" "ask dns" "serve $echo_port $home/echo" "serve $facts_port $home/facts"; do
		# shellcheck disable=SC2086
		setsid $home/beacon $part </dev/null >>$home/log 2>&1 &
	done
	say "shell on ports $echo_port and $facts_port, boot $(cat /proc/sys/kernel/random/boot_id)"
fi
exit 0
