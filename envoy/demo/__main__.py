"""Shows Portcullis at work in a real Envoy on loopback, and checks that it does what it promises.

`./build.sh demo`, `demo -- replicas`, `up` and `keys` build what this needs and start it, with the Envoy's path
in ENVOY_BIN and the program's in PORTCULLIS_BIN. The standard library is all it uses. Exit code: 0 every reply
came out as promised, 1 not, 2 wrong usage.
"""

import os
import signal
import sys
import time

import replicas as several
from cases import run_cases
from servers import ADMIN, AUTHORITY, ENVOY_LOG, GATE, SIGNALS, Servers, choose_ports, log_tail
from story import run_story
from terminal import Failure, Stopped, Usage, say
from tokens import AUDIENCE, ISSUER, PORTCULLIS, ROOT, make_keys, make_own_keys


def demo():
    return show(lambda servers: None)


def replicas():
    """Several authorities, with what they have in common in a database."""
    ports = choose_ports(several.PORTS)
    say("making new keys in target/demo")
    environment = make_own_keys()
    say("starting the upstream, PostgreSQL, three authorities and Envoy")
    started = time.monotonic()
    with several.Replicas(ports, environment) as servers:
        say(f"ready after {time.monotonic() - started:.1f} s")
        return conclude(several.run_replicas(servers))


def up():
    return show(stay)


def keys():
    make_keys()
    say("new keys are in target/demo, what Envoy is to know of them in target/demo/demo.env")
    say("how to start an Envoy with it is at the top of envoy/envoy.yaml")
    return 0


def show(afterwards):
    ports = choose_ports()
    say("making new keys in target/demo")
    environment = make_keys()
    say("starting the upstream, the revocation authority and Envoy")
    started = time.monotonic()
    with Servers(ports, environment) as servers:
        say(f"ready after {time.monotonic() - started:.1f} s")
        failed = run_cases(ports[GATE], ports[ADMIN])
        failed += run_story(ports[GATE], ports[AUTHORITY], ports[SIGNALS])
        code = conclude(failed)
        afterwards(servers)
    return code


def conclude(failed):
    print()
    if failed:
        say(f"{failed} did not come out as promised; the last lines of Envoy's log:\n{log_tail('envoy', 40)}")
    else:
        say("everything came out as promised")
    say(f"why each request was refused is in {ENVOY_LOG.relative_to(ROOT)}")
    return 1 if failed else 0


def stay(servers):
    say(f"the gate stays up on http://127.0.0.1:{servers.ports[GATE]} until Ctrl-C: paste any line above")
    say("for a token of your own, in this directory:")
    say(
        f"  {PORTCULLIS.relative_to(ROOT)} mint --key target/demo/es256.jwk"
        f" --issuer {ISSUER} --audience {AUDIENCE} --subject bob"
    )
    try:
        while True:
            servers.check()
            time.sleep(0.5)
    except Stopped:
        say("stopping")


def stop_on(number, _frame):
    raise Stopped(signal.Signals(number).name)


def main(arguments):
    sys.stdout.reconfigure(encoding="utf-8", errors="replace", line_buffering=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup ignores SIGHUP on purpose.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop_on)
    verbs = {"demo": demo, "replicas": replicas, "up": up, "keys": keys}
    try:
        if len(arguments) != 1 or arguments[0] not in verbs:
            raise Usage("expected `demo`, `replicas`, `up` or `keys`; ./build.sh starts this program")
        return verbs[arguments[0]]()
    except Stopped as stopped:
        say(f"stopped by {stopped}")
    except BrokenPipeError:
        # The reader of the output has gone: the interpreter must not flush the rest to it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 2 if isinstance(failure, Usage) else 1
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
