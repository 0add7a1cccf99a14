"""The commands about the log as a whole: verification, checkpoints, proofs, keys, backups."""

from __future__ import annotations

from typing import Final

from runnotary.cli.options import FORCE, LONG_OUTPUT, NAMESPACE, OUTPUT, RUN, Command, Option

REASON: Final = Option(("--reason",), "why, for the record", metavar="TEXT")
TO_FILE: Final = Option(("-o", "--output"), "write it into this file", metavar="FILE", into="output")
KEY: Final = Option(("key",), "a key, by its id or name", metavar="KEY")
PINNED: Final = Option(("--key",), "public key that has to have signed it: a file or its text", metavar="PUB")

LOG: Final = (
    Command(
        ("verify",),
        "runnotary.cli.verify:verify",
        "check the record against itself",
        (
            RUN._replace(kind="maybe", help="one run; else the whole home"),
            Option(("--flow",), "all runs of this flow", metavar="NAME"),
            Option(("--task",), "one task, with its run", metavar="RUN/TASK"),
            NAMESPACE,
            Option(("--deep",), "read every blob too", "flag"),
            Option(("--record",), "only events, log and checkpoints: five times as fast", "flag"),
            Option(("--key",), "public key that has to vouch for it: a file or its text", metavar="PUB"),
            Option(("--checkpoint",), "a checkpoint that somebody kept: it has to fit", metavar="FILE"),
            OUTPUT,
        ),
        details="Exit status: 0 all of it holds, 10 something does not. What `!` says is not proven by it.",
    ),
    Command(
        ("audit",),
        "runnotary.cli.auditing:audit",
        "who did what, when and why",
        (
            Option(("--who",), "user:NAME, service:NAME or engine", metavar="WHO"),
            Option(
                ("--what",),
                "types of events, or their first word: access, run.cancel_requested",
                "many",
                metavar="TYPE",
            ),
            Option(("--run",), "of one run", metavar="RUN"),
            NAMESPACE._replace(help="of one namespace"),
            Option(("--from",), "from this time on", metavar="TIME", into="since"),
            Option(("--to",), "up to this time", metavar="TIME", into="until"),
            Option(("--why",), "with this in the reason", metavar="TEXT"),
            Option(("--oldest",), "the oldest first", "flag"),
            Option(("--limit",), "at most so many (default 50)", "number", metavar="N"),
            Option(("--cursor",), "go on where a page ended; with the same words", metavar="CURSOR"),
            OUTPUT._replace(choices=(*OUTPUT.choices, "csv")),
        ),
        details="Of a run its readers see everything; of a namespace its readers see flows and erasures,\n"
        "its admins changes of access. In CSV a cell that would be executed begins with an apostrophe.",
    ),
    Command(
        ("log", "checkpoint"),
        "runnotary.cli.evidence:checkpoint",
        "the signed size and root of the log",
        (
            Option(("--new",), "sign all that there is first", "flag"),
            Option(("--size",), "that of so many entries", "number", metavar="N"),
            TO_FILE,
            FORCE,
            LONG_OUTPUT,
        ),
        details="Kept where whoever could change the record cannot, it shows every later change:\n"
        "runnotary verify --checkpoint FILE",
    ),
    Command(
        ("log", "proof"),
        "runnotary.cli.evidence:proof",
        "that a run is in the log of a checkpoint",
        (
            RUN._replace(help="a run, or the number of an entry of the log", metavar="RUN|ENTRY"),
            PINNED,
            TO_FILE,
            FORCE,
            LONG_OUTPUT,
        ),
        details="Leaf, path and checkpoint in one text (c2sp.org/tlog-proof).",
    ),
    Command(
        ("log", "consistency"),
        "runnotary.cli.evidence:consistency",
        "that the log has only grown since",
        (
            Option(("old",), "entries that it had, or a checkpoint that somebody kept", metavar="OLD|FILE"),
            Option(("new",), "the same of later; all there is if left out", "maybe", metavar="NEW|FILE"),
            PINNED,
            OUTPUT,
        ),
        details="With a FILE the proof is checked here, whoever made it. Exit status 10: the log is another.",
    ),
    Command(("key", "list"), "runnotary.cli.evidence:keys", "every key that ever signed here", (OUTPUT,)),
    Command(
        ("key", "show"),
        "runnotary.cli.evidence:show",
        "a public key, for those who check: the one in use",
        (KEY._replace(kind="maybe"), OUTPUT),
        details="runnotary key show > lab.pub, and elsewhere: runnotary verify --key lab.pub",
    ),
    Command(
        ("key", "rotate"),
        "runnotary.cli.evidence:rotate",
        "put a new key in the place of the one in use",
        (Option(("--name",), "what the new one is called", metavar="NAME"), REASON, OUTPUT),
        details="The old key vouches for the new one: who knows the old one need not be told.",
    ),
    Command(
        ("key", "revoke"),
        "runnotary.cli.evidence:revoke",
        "say that a key must not be trusted any more",
        (KEY, REASON, OUTPUT),
        details="A key in use is replaced by a new one, for which it does not vouch.",
    ),
    Command(
        ("admin", "backup"),
        "runnotary.cli.verify:backup",
        "copy the record while it is in use",
        (Option(("--output",), "folder to make", metavar="DIR", into="target"),),
        details="The copy is a home with its own database, whichever database the record is in.",
    ),
    Command(
        ("admin", "restore"),
        "runnotary.cli.verify:restore",
        "make a record from a backup",
        (
            Option(("backup",), "the folder that `admin backup` made", metavar="BACKUP"),
            Option(
                ("--accept-loss",), "though a checkpoint outside is newer; the record will say so", "flag"
            ),
            REASON,
        ),
        details="Never over a record that exists. Keys are not in a backup: a new one signs from now on.",
    ),
    Command(
        ("admin", "migrate"),
        "runnotary.cli.moving:migrate",
        "move the record to the other kind of database",
        (
            Option(
                ("--from",),
                "where it is: sqlite:///HOME/runnotary.db or postgresql://…",
                metavar="URL",
                into="source",
            ),
            Option(
                ("--to",),
                "where it is to be: the other kind, with no record in it",
                metavar="URL",
                into="target",
            ),
            REASON,
            OUTPUT,
        ),
        details="Nobody may work on it meanwhile. Both sides are verified and compared; then the record\n"
        "says that it moved, and goes on there under its name and key. In the old place it is only read.",
    ),
    Command(
        ("admin", "erase-principal"),
        "runnotary.cli.forgetting:erase_principal",
        "erase a person from the record; verify holds",
        (
            Option(("principal",), "user:NAME or service:NAME", metavar="WHO"),
            Option(("--reason",), "why, for the record; it stays, so do not name them in it", metavar="TEXT"),
            Option(("--runs",), "erase the runs that name them too", "flag"),
            Option(("--dry-run",), "say what would go, and do nothing", "flag"),
            OUTPUT,
        ),
        details="Their tokens, roles and places in groups end. What of theirs is still in force, as a flow\n"
        "that they registered, is said again by you. No engine may be at work in the home; a hold protects.",
    ),
    Command(
        ("admin", "prune"),
        "runnotary.cli.forgetting:prune",
        "take away bytes that nothing names",
        (OUTPUT,),
        details="For what a crash amid a purge or an erasure left. The database is written anew without\n"
        "its free space. No engine may be at work in the home.",
    ),
)
