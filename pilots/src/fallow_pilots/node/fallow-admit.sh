#!/bin/sh
# HTCondor's starter runs this before it starts a job; the job's ClassAd comes on standard input, changes to it go out.
# What the starter does outside of the container follows some of the job's attributes: these must be written-out
# values, not expressions that could mean one thing to the queue and another to the starter, and harmless ones.
# A job that asks for more is made harmless and handed to fallow-apptainer with a word that makes it refuse.
# A batch system that signals all processes at once does not cut it short, or the job would be lost without a word.
trap '' TERM
tr -d "'" | awk '
function refuse(word) {
    print "Environment = \"\""
    print "Env = undefined"
    print "In = \"/dev/null\""
    print "Out = \"_condor_stdout\""
    print "Err = \"_condor_stderr\""
    print "FallowImages = \"refused-" word "\""
    exit
}
{
    at = index($0, " = ")
    name = tolower(substr($0, 1, at - 1))
    value = substr($0, at + 3)
}
name !~ /^(env|environment|in|out|err|transferin|transferout|transfererr|fallowimages|fallowimagesource|precmd|postcmd|transferplugins|hookkeyword|containertargetdir|jobmountunderscratch)$/ { next }
value == "undefined" { next }
name ~ /^(env|precmd|postcmd|transferplugins|hookkeyword|containertargetdir|jobmountunderscratch)$/ { refuse(name) }
value !~ /^"([^"\\]|\\.)*"$/ && value !~ /^(true|false)$/ { refuse("expression-" name) }
# Written-out control characters are blanks to the starter.
name == "environment" { gsub(/\\./, " ", value) }
name == "environment" && toupper(value) ~ /[^A-Z0-9_](LD_|GLIBC_|GCONV_|LOCPATH|MALLOC_|NLSPATH|RES_|HOSTALIASES|LOCALDOMAIN|BASH|ENV=|SHELLOPTS|PS4|IFS=)/ {
    refuse("loader")
}
name ~ /^(in|out|err)$/ && value != "\"/dev/null\"" && value ~ /^"\/|\.\./ { refuse("stdio") }
name == "fallowimagesource" && value !~ /^"[a-z0-9:\/._ -]*"$/ { refuse(name) }
name == "fallowimages" && value !~ /^"(sha256:[0-9a-f]+( sha256:[0-9a-f]+)*)?"$/ { refuse(name) }
'
