%% Runs the cases of a file against pg and prints for each operation its answer and the messages of the watches, as
%% JSON, one case per line.
-module(groups).
-export([main/1]).

main(File) ->
    {ok, Cases} = file:consult(File),
    process_flag(trap_exit, true),
    [io:format("~s~n", [json(run(Ops))]) || {_, Ops} <- Cases],
    halt().

run(Ops) ->
    {ok, Scope} = pg:start_link(sc),
    put(refs, #{}),
    put(pids, maps:from_list([{Name, spawn(fun() -> timer:sleep(infinity) end)} || Name <- [a, b, c, d]])),
    put(names, maps:from_list([{Pid, Name} || {Name, Pid} <- maps:to_list(get(pids))])),
    Results = [begin Answer = op(Op), timer:sleep(5), [Answer, inbox([])] end || Op <- Ops],
    unlink(Scope),
    [stop(Pid) || Pid <- [Scope | maps:values(get(pids))]],
    inbox([]),
    Results.

stop(Pid) ->
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Ref, _, _, _} -> ok end.

who(Names) when is_list(Names) -> [who(Name) || Name <- Names];
who(Name) -> maps:get(Name, get(pids)).

names(Pids) -> lists:sort([maps:get(Pid, get(names)) || Pid <- Pids]).

op({join, Group, Who}) -> pg:join(sc, Group, who(Who));
op({leave, Group, Who}) -> pg:leave(sc, Group, who(Who));
op({members, Group}) -> names(pg:get_members(sc, Group));
op(groups) -> lists:sort(pg:which_groups(sc));
op({kill, Who}) -> stop(who(Who)), ok;
op({monitor, Group, As}) ->
    {Ref, Pids} = pg:monitor(sc, Group),
    put(refs, (get(refs))#{Ref => As}),
    names(Pids);
op({monitor_scope, As}) ->
    {Ref, Groups} = pg:monitor_scope(sc),
    put(refs, (get(refs))#{Ref => As}),
    lists:sort([[Group, names(Pids)] || {Group, Pids} <- maps:to_list(Groups)]);
op({demonitor, As}) ->
    case [Ref || {Ref, Name} <- maps:to_list(get(refs)), Name =:= As] of
        [Ref] -> pg:demonitor(sc, Ref);
        [] -> none
    end;
op({batch, Ops}) -> [op(Op) || Op <- Ops].

inbox(Found) ->
    receive
        {Ref, Event, Group, Pids} when Event =:= join; Event =:= leave ->
            inbox([[maps:get(Ref, get(refs), none), Event, Group, names(Pids)] | Found]);
        _ -> inbox(Found)
    after 0 -> lists:reverse(Found)
    end.

json(Atom) when is_atom(Atom) -> [$", atom_to_list(Atom), $"];
json(List) when is_list(List) -> [$[, lists:join($,, [json(Item) || Item <- List]), $]].
