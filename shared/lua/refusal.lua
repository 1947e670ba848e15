#!lua flags=no-writes
-- Why a job would not be accepted now, most likely.
-- ARGV: owner, most jobs in the queue, most unfinished jobs of an owner, most of its jobs that are kept
-- Returns 'queue_full', 'too_many_jobs', 'too_many_kept', or nothing.
return refusal_of(ARGV[1], ARGV[2], ARGV[3], ARGV[4])
