%% Runs the cases of a file, all at the same time, and prints what happened: for each step the starts and ends in
%% order and who lives, as JSON, one case per line.
-module(trees).
-export([main/1]).
-define(QUIET_MS, 2500). % longer than a handful of slow workers in a row take to be killed

main(File) ->
    logger:set_primary_config(level, none),
    {ok, Cases} = file:consult(File),
    Me = self(),
    [spawn(fun() -> Me ! {Id, run(Plan, Faults)} end) || {Id, Plan, Faults} <- Cases],
    [receive {Id, Steps} -> io:format("~s~n", [json([Id, Steps])]) end || {Id, _, _} <- Cases],
    halt().

run(Plan, Faults) ->
    process_flag(trap_exit, true),
    Refusals = ets:new(refusals, [public]),
    {ok, Root} = tree:start(Plan, "r", self(), Refusals),
    {Lines0, Pids} = settle(#{}, []),
    First = [Lines0, living(Pids)],
    {Steps, Last} = lists:mapfoldl(
        fun({Kind, Which}, Before) ->
            suffer(Kind, Which, Before, Refusals),
            {Lines, After} = settle(Before, []),
            {[Lines, living(After)], After}
        end, Pids, Faults),
    exit(Root, shutdown),
    {End, _} = settle(Last, []),
    [First] ++ Steps ++ [[End, []]].

living(Pids) ->
    lists:sort([list_to_binary(Path) || {Path, Pid} <- maps:to_list(Pids), is_process_alive(Pid)]).

suffer(Kind, Which, Pids, Refusals) ->
    case living(Pids) of
        [] -> ok;
        Living ->
            Path = binary_to_list(lists:nth(Which rem length(Living) + 1, Living)),
            harm(Kind, Path, maps:get(Path, Pids), Refusals)
    end.

harm(kill, _, Pid, _) -> exit(Pid, kill);
harm(Kind, Path, _, Refusals) when Kind =:= refuse; Kind =:= hang ->
    Before = case ets:lookup(Refusals, Path) of [{_, Kinds}] -> Kinds; [] -> [] end,
    ets:insert(Refusals, {Path, Before ++ [Kind]});
harm(Kind, _, Pid, _) -> gen_server:cast(Pid, Kind).

settle(Pids, Lines) ->
    receive
        {up, Path, Pid} -> settle(Pids#{Path => Pid}, [list_to_binary("+" ++ Path) | Lines]);
        {down, Path} -> settle(Pids, [list_to_binary("-" ++ Path) | Lines]);
        _ -> settle(Pids, Lines)
    after ?QUIET_MS ->
        {lists:reverse(Lines), Pids}
    end.

json(Text) when is_binary(Text) -> [$", Text, $"];
json(Number) when is_integer(Number) -> integer_to_list(Number);
json(List) when is_list(List) -> [$[, lists:join($,, [json(Item) || Item <- List]), $]].
