#!/usr/bin/env escript
%% The same rows on the real BEAM: prints one line `row n value value ...` per row, units as in bench_kernel.py.
%% Run by bench_kernel.py when `escript` is installed. Each value is one run; medians are taken by the reader.
-mode(compile).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2, handle_info/2, start_child/0]).

main(Args) ->
    Scale = case Args of [S | _] -> list_to_float(S); [] -> 1.0 end,
    Runs = 5,
    report("call", "ns", fun call/1, scaled(200000, Scale), Runs),
    report("call_async", "ns", fun call/1, scaled(200000, Scale), Runs),
    report("cast", "ns", fun cast/1, scaled(300000, Scale), Runs),
    report("spawn_exit", "ns", fun spawn_exit/1, scaled(100000, Scale), Runs),
    report("start_stop", "ns", fun start_stop/1, scaled(50000, Scale), Runs),
    report("restart", "us", fun restart/1, scaled(5000, Scale), 3),
    report("broadcast", "ms", fun broadcast/1, scaled(10000, Scale), Runs),
    report("fan_out", "s", fun fan_out/1, scaled(100000, Scale), 3),
    report("idle_bytes", "bytes", fun idle_bytes/1, scaled(100000, Scale), 1).

scaled(N, Scale) -> max(1, round(N * Scale)).

report(Row, Unit, Fun, N, Runs) ->
    Values = [in_process(fun() -> Fun(N) end) || _ <- lists:seq(1, Runs)],
    io:format("~s ~s ~b~s~n", [Row, Unit, N, [io_lib:format(" ~.3f", [float(V)]) || V <- Values]]).

%% A fresh process per run, so that no run inherits the heap of the one before.
in_process(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({done, Fun()}) end),
    receive {'DOWN', Ref, process, Pid, {done, Value}} -> Value;
            {'DOWN', Ref, process, Pid, Reason} -> error(Reason)
    end.

seconds(Fun) ->
    Start = erlang:monotonic_time(nanosecond),
    Fun(),
    (erlang:monotonic_time(nanosecond) - Start) / 1.0e9.

call(N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, 0, []),
    Time = seconds(fun() -> call_loop(Pid, N) end),
    ok = gen_server:stop(Pid),
    Time * 1.0e9 / N.

call_loop(_, 0) -> ok;
call_loop(Pid, N) -> gen_server:call(Pid, {add, 1}), call_loop(Pid, N - 1).

cast(N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, 0, []),
    Time = seconds(fun() -> cast_loop(Pid, N), gen_server:call(Pid, {add, 1}) end),
    ok = gen_server:stop(Pid),
    Time * 1.0e9 / N.

cast_loop(_, 0) -> ok;
cast_loop(Pid, N) -> gen_server:cast(Pid, {add, 1}), cast_loop(Pid, N - 1).

spawn_exit(N) ->
    seconds(fun() -> spawn_loop(N) end) * 1.0e9 / N.

spawn_loop(0) -> ok;
spawn_loop(N) ->
    {Pid, Ref} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Ref, process, Pid, _} -> ok end,
    spawn_loop(N - 1).

start_stop(N) ->
    seconds(fun() -> start_loop(N) end) * 1.0e9 / N.

start_loop(0) -> ok;
start_loop(N) ->
    {ok, Pid} = gen_server:start_link(?MODULE, 0, []),
    ok = gen_server:stop(Pid),
    start_loop(N - 1).

%% The median time from the crash of a child to the moment its successor has finished init.
restart(N) ->
    logger:set_primary_config(level, none),
    register(bench, self()),
    {ok, Sup} = supervisor:start_link(?MODULE, {supervisor, N}),
    receive {up, First} -> ok end,
    Times = restart_loop(First, N, []),
    unlink(Sup),
    exit(Sup, kill),
    unregister(bench),
    lists:nth(max(1, N div 2), lists:sort(Times)) / 1000.

restart_loop(_, 0, Times) -> Times;
restart_loop(Pid, N, Times) ->
    Start = erlang:monotonic_time(nanosecond),
    exit(Pid, kill),
    receive {up, Next} -> ok end,
    restart_loop(Next, N - 1, [erlang:monotonic_time(nanosecond) - Start | Times]).

start_child() -> gen_server:start_link(?MODULE, announce, []).

broadcast(N) ->
    Pids = [element(2, gen_server:start_link(?MODULE, self(), [])) || _ <- lists:seq(1, N)],
    Time = seconds(fun() ->
        [Pid ! ping || Pid <- Pids],
        await_pongs(N)
    end),
    stop_all(Pids),
    Time * 1000.

await_pongs(0) -> ok;
await_pongs(N) -> receive pong -> await_pongs(N - 1) end.

fan_out(N) ->
    Pids = [element(2, gen_server:start_link(?MODULE, 0, [])) || _ <- lists:seq(1, N)],
    Time = seconds(fun() ->
        [[gen_server:cast(Pid, {add, 1}) || Pid <- Pids] || _ <- lists:seq(1, 10)],
        [gen_server:call(Pid, {add, 0}, infinity) || Pid <- Pids]
    end),
    stop_all(Pids),
    Time.

idle_bytes(N) ->
    erlang:garbage_collect(),
    Before = erlang:memory(processes),
    Pids = [element(2, gen_server:start_link(?MODULE, 0, [])) || _ <- lists:seq(1, N)],
    Bytes = (erlang:memory(processes) - Before) / N,
    stop_all(Pids),
    Bytes.

stop_all(Pids) -> [begin unlink(P), exit(P, kill) end || P <- Pids].

init({supervisor, N}) ->
    {ok, {#{intensity => N + 1, period => 3600}, [#{id => child, start => {?MODULE, start_child, []}}]}};
init(announce) ->
    bench ! {up, self()},
    {ok, 0};
init(State) -> {ok, State}.

handle_call({add, By}, _From, State) when is_integer(State) -> {reply, State + By, State + By}.
handle_cast({add, By}, State) -> {noreply, State + By}.
handle_info(ping, Owner) -> Owner ! pong, {noreply, Owner}.
